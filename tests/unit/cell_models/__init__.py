"""Tests of networks, detection, classification, bundles, survey and training."""
