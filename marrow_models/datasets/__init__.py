"""Data sets in the layouts that their authors publish, read into one kind of record."""
