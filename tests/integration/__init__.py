"""Several modules with their real engines."""
