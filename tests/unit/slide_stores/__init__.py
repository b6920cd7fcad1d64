"""Stores: layout, shards, scale, completeness."""
