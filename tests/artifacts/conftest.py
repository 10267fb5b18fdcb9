"""A table full of strangers' words, for what is written and what is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

HOSTILE = ["=1+1", "+x", "-2", "@a", "'=1", "<script>alert(1)</script>", 'a "b", c', "line\nbreak"]


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "cluster": [*HOSTILE, "01"],
            "estimate": [1 / 3, -1e-12, 123456.789, np.nan, 0.0, 1e9, -7.0, 2.5, 1.0],
            "p_value": [0.057, 0.0004, 1.0, np.nan, 0.5, 0.05, 0.01, 0.0, 0.2],
        }
    )
