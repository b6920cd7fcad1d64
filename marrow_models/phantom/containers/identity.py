"""What a slide says about whose it is: names, accession numbers, the paper label. All of it is invented."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LABEL_SIZE = (384, 400)
_MACRO_SIZE = (1200, 400)
_PAPER = (250, 248, 240)
_BENCH = (214, 216, 220)
_GLASS = (240, 240, 243)


@dataclass(frozen=True, slots=True)
class SlideIdentity:
    """Identity that containers hold. ``name`` is shown wherever a scanner would show a patient's name."""

    key: str
    """Differs for every slide and seed; unique identifiers are derived from it."""
    patient_id: str
    name: str
    slide_name: str
    """``slide-0001-a``: printed on the label."""

    def uid(self, role: str) -> str:
        """Return a DICOM UID that depends on the key and the role only (2.25, from a hash)."""
        digest = hashlib.sha256(f"{self.key}/{role}".encode()).digest()
        return f"2.25.{int.from_bytes(digest[:15], 'big')}"

    def guid(self, role: str) -> str:
        """Return a GUID made in the same way."""
        text = hashlib.sha256(f"{self.key}/{role}".encode()).hexdigest()[:32]
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def label_picture(identity: SlideIdentity) -> NDArray[np.uint8]:
    """Draw the paper label, uint8 (h, w, 3): name, patient, slide and a bar code."""
    paper = Image.new("RGB", _LABEL_SIZE, _PAPER)
    draw = ImageDraw.Draw(paper)
    lines = ("MARROW PHANTOM", identity.name, identity.patient_id, identity.slide_name, "MAY-GRUENWALD-GIEMSA")
    for row, line in enumerate(lines):
        draw.text((20, 24 + 44 * row), line, fill=(20, 20, 30), font_size=24)
    bits = np.unpackbits(np.frombuffer(hashlib.sha256(identity.slide_name.encode()).digest()[:14], np.uint8))
    for column, bit in enumerate(bits.tolist()):
        if bit:
            draw.rectangle((24 + 3 * column, 280, 26 + 3 * column, 370), fill=(10, 10, 15))
    return np.asarray(paper, np.uint8)


def macro_picture(identity: SlideIdentity, overview: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the camera's view of the whole glass slide, label included, uint8 (h, w, 3)."""
    bench = Image.new("RGB", _MACRO_SIZE, _BENCH)
    glass = Image.new("RGB", (1170, 370), _GLASS)
    label = Image.fromarray(label_picture(identity)).resize((340, 354))
    smear = Image.fromarray(overview).resize((300, 300))
    glass.paste(label, (8, 8))
    glass.paste(smear, (600, 35))
    bench.paste(glass, (15, 15))
    return np.asarray(bench, np.uint8)
