"""Figures of models as the papers and the field compute them, with plots and a result folder. Plain arrays in."""
