"""What tables call the terms that no column is behind."""

from __future__ import annotations

INTERCEPT = "Intercept"
RESIDUAL = "Residual"  # the group of the rows' own variance
