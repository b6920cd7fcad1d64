"""Untrusted slide files are parsed and decoded in a process of their own: what it dies of costs one slide."""
