"""Speed as a ratio, side by side."""
