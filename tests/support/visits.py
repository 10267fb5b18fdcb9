"""A file of SPSS with strangers' words as names and labels, with which a new user begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat

Run = Callable[..., tuple[int, str, str]]
FILE_LABEL = 'Besuche: "2024" 😀 {x}'
LABELS = {
    "score": "Score: 'good'? # \"bad\"\n- [yes]",
    "severity": "Sévérité \u202eno\u2028more",
    "clinic": "Klinik &amp <b>",
}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    clinic = np.repeat(np.arange(15), 10)
    names = [f"Praxis {j}: \"a\" 'b'" if j % 2 else f"مشفى {j}" for j in range(15)]
    severity = rng.normal(3, 1, 150)
    score = 2 + severity + rng.normal(size=15)[clinic] + rng.normal(size=150)
    return pd.DataFrame(
        {
            "score": np.where(np.arange(150) % 37 == 5, np.nan, score),
            "severity": np.where(np.arange(150) == 7, np.nan, severity),
            "clinic": np.array(names, dtype=object)[clinic],
            "sex": rng.integers(1, 3, 150).astype(float),
            "wave": np.tile(np.arange(10.0), 15),
            "beds": (10.0 * clinic + 5),
            "note": np.where(np.arange(150) == 3, "ill", "1"),
        }
    )


def save(path: Path) -> None:
    pyreadstat.write_sav(
        frame(),
        str(path),
        file_label=FILE_LABEL,
        column_labels=LABELS,
        variable_value_labels={"sex": {1.0: "male: no", 2.0: "female, yes"}},
    )
