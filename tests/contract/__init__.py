"""What users and other layers may rely on."""
