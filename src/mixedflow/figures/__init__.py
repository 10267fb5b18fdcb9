"""Frames -> figures: they compute nothing beyond positions, and only ``save`` writes."""
