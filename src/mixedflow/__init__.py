"""Linear mixed models from a configuration file to figures, rankings and a report.

>>> import mixedflow
>>> fit = mixedflow.fit("gcse ~ lrt + (1 + lrt | school)", frame)  # doctest: +SKIP

The names load on first use: every job of a workflow is a new interpreter, and pays for imports.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Fit", "Reporting", "fit", "fit_arrays", "lr_test"]

if TYPE_CHECKING:
    from mixedflow.api import Fit, Reporting, fit, fit_arrays, lr_test


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("mixedflow.api"), name)
    raise AttributeError(f"module 'mixedflow' has no attribute {name!r}")
