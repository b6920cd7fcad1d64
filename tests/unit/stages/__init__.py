"""What the stages have in common."""
