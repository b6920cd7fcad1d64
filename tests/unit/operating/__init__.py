"""Quarantine, explanations, verification, backups and keys, without a night."""
