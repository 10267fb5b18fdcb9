"""Estimation: a formula's matrices, their likelihood, its optimum and the evidence for it."""
