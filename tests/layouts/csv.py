"""A table of boxes, points and whole pictures, with patients, splits, votes and attributes."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text

OPTIONS = ReadOptions(taxonomy="bmc21", um_per_px=0.2)
WRONG = "cells.csv"
TABLE = """\
image,left,top,right,bottom,x,y,label,votes,ignored,attribute.size,picture_label,patient,split,fold,um_per_px,domain
p/a.png,4,5,24.5,26,,,BLA,BLA;LYT;BLA,,large,,P1,train,0,0.1,40x
p/a.png,40,30,70,48,,,LYT,,0,small,,P1,train,0,0.1,40x
p/a.png,1,1,9,9,,,,,1,,,P1,train,0,0.1,40x
p/b.png,,,,,12.5,40,EBO,,,,,P1,train,0,,
p/c.png,,,,,,,NIF,,,,,P2,test,1,,
p/d.png,,,,,,,,,,,BLA,P3,test,1,,
"""


def write(folder: Path) -> Path:
    for name in "abcd":
        write_picture(folder / "p" / f"{name}.png")
    write_text(folder / "cells.csv", TABLE)
    return folder
