"""Checks what was written with the tools of others: ``make manifests-check``."""
