"""Frames -> figures. They compute nothing beyond positions, and only ``save`` writes.

One module a stage: :mod:`explore`, :mod:`models`, :mod:`ranking`; their look is in :mod:`style`.
"""
