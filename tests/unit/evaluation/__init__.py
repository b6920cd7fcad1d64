"""Tests of the figures of models, of their plots and of the result folder."""
