"""The same files as those of OI-PBC; only the pictures, their names and the attributes are used."""

from tests.layouts.oi_pbc import OPTIONS, WRONG, write

__all__ = ["OPTIONS", "WRONG", "write"]
