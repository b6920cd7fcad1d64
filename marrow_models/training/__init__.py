"""Training of the detector and the classifier, their evaluation, and the writing of a bundle."""
