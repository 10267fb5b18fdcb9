"""Formulas and expressions of strangers: text -> checked trees -> values; runs no code."""
