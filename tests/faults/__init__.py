"""Damaged input and killed processes."""
