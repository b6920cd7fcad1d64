"""Synthetic Giemsa-like marrow smears with known truth, drawn from a seed and written as real slide files."""
