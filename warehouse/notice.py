"""What every output says."""

RESEARCH_USE_ONLY = "For Research Use Only. Not for use in diagnostic procedures."
"""The wording of 21 CFR 809.10(c); the database says the same in its view ``notice``."""
