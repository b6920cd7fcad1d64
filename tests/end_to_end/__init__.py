"""Whole nights, started as a user starts them."""
