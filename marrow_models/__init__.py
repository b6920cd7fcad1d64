"""Slides, pyramids, networks, diagnosis: the science of Marrow, free of any orchestrator or database."""
