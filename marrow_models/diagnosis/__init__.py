"""From cell counts to a suggestion: the differential of ICSH, versioned rules with intervals, a scikit-learn model."""
