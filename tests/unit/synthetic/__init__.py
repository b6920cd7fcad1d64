"""The synthetic slides, part by part."""
