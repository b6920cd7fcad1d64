"""Source slides: recognition, gates, metadata."""
