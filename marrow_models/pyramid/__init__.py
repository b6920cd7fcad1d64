"""OME-NGFF stores: written once from a source slide, verified, and read by everything after."""
