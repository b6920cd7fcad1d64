"""Unit tests of the warehouse."""
