"""Tests of Marrow, grouped by kind."""
