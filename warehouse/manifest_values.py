"""Single cells of manifest.csv: numbers as laboratories write them, and words from fixed lists.

Free text never goes further than this: what is stored of a stain, a specimen or a sex is a word of ours.
"""

from __future__ import annotations

import math
import re
import unicodedata

MAX_TEXT = 1024
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?", "unknown"})
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_HEADING = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)

SPECIMENS = {
    "": "bone_marrow",
    "bone_marrow": "bone_marrow",
    "bone_marrow_aspirate": "bone_marrow",
    "marrow": "bone_marrow",
    "aspirate": "bone_marrow",
    "bm": "bone_marrow",
    "bma": "bone_marrow",
    "blood": "blood",
    "peripheral_blood": "blood",
    "pb": "blood",
}
STAINS = {
    "may_gruenwald_giemsa": "may_gruenwald_giemsa",
    "may_grunwald_giemsa": "may_gruenwald_giemsa",
    "mgg": "may_gruenwald_giemsa",
    "pappenheim": "may_gruenwald_giemsa",
    "wright": "wright",
    "wright_giemsa": "wright_giemsa",
    "giemsa": "giemsa",
    "leishman": "leishman",
    "prussian_blue": "prussian_blue",
    "perls": "prussian_blue",
    "iron": "prussian_blue",
    "myeloperoxidase": "myeloperoxidase",
    "mpo": "myeloperoxidase",
}
SEXES = {
    "female": "female",
    "f": "female",
    "w": "female",
    "woman": "female",
    "male": "male",
    "m": "male",
    "man": "male",
    "other": "other",
    "diverse": "other",
    "d": "other",
    "x": "other",
    "u": "unknown",
}
IDENTIFYING = (
    "id", "mrn", "number", "no", "nr", "record", "accession", "case", "phone", "tel", "fax", "zip", "plz", "postcode",
    "postal", "birth", "born", "dob", "year", "date", "day", "month", "time", "name", "surname", "ssn", "nhs",
    "insurance", "barcode", "address", "street", "email", "serial", "account", "licence", "license",
)  # fmt: skip
"""Words of a heading that make a column of numbers no laboratory value."""


class CellFault(ValueError):
    """A cell cannot be taken; the text says why and never repeats the cell."""


def text_id(cell: str, *, what: str = "id") -> str:
    """An id as text, without the spaces around it. CellFault when empty, very long or with control characters."""
    text = cell.strip()
    if not text:
        raise CellFault(f"the {what} is missing")
    if len(text) > MAX_TEXT:
        raise CellFault(f"the {what} is longer than {MAX_TEXT} characters")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise CellFault(f"the {what} holds a control character")
    return text


def number(cell: str, *, at_least: float = -math.inf, at_most: float = math.inf) -> float | None:
    """A number with a decimal point or comma, None for an empty cell. CellFault when it is none or out of range."""
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    if not _NUMBER.fullmatch(text):
        raise CellFault("not a number")
    value = float(text.replace(",", "."))
    if not math.isfinite(value) or not at_least <= value <= at_most:
        raise CellFault(f"not within {at_least:g} to {at_most:g}" if math.isfinite(at_most) else "too large a number")
    return value


def is_number(cell: str) -> bool:
    """Whether :func:`number` takes the cell, empty cells included."""
    try:
        number(cell)
    except CellFault:
        return False
    return True


def laboratory_name(heading: str) -> str | None:
    """The name under which a column of numbers is stored, None where the heading may identify someone or is odd."""
    name = _word(heading)
    if not _HEADING.fullmatch(name) or any(part in IDENTIFYING for part in name.split("_")):
        return None
    return name


def specimen(cell: str) -> str:
    """``bone_marrow`` (also for an empty cell) or ``blood``. CellFault for another word."""
    found = SPECIMENS.get(_word(cell))
    if found is None:
        raise CellFault("not bone_marrow or blood")
    return found


def sex(cell: str) -> str | None:
    """``female``, ``male``, ``other`` or ``unknown``, None for an empty cell. CellFault for another word."""
    word = _word(cell)
    if word == "unknown":
        return "unknown"
    if word in MISSING:
        return None
    if word not in SEXES:
        raise CellFault("not female, male, other or unknown")
    return SEXES[word]


def stain(cell: str) -> str | None:
    """The stain as Marrow names it, ``other`` for a word that it does not know, None for an empty cell."""
    word = _word(cell)
    return None if word in MISSING else STAINS.get(word, "other")


def _word(cell: str) -> str:
    """Lower-case ASCII with underscores: ``May-Grünwald-Giemsa`` becomes ``may_grunwald_giemsa``."""
    plain = unicodedata.normalize("NFKD", cell.strip().casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[\s\-./()%]+", "_", plain).strip("_")
