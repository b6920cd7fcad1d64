"""Real slide files, where they are at hand."""
