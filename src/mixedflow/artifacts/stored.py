"""Tables back from their CSV, for all that comes after the fits.

Apart from writing, because what is a label is known from the registry, of which a job that fits
knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from csv import reader
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mixedflow.artifacts.registry import labels
from mixedflow.artifacts.tables import unguarded

if TYPE_CHECKING:
    import pandas as pd


def read(csv: Path | str, texts: Sequence[str] = (), most: int | None = None) -> pd.DataFrame:
    """A table as :func:`tables.write` left it, or its first ``most`` rows.

    Labels are text, empty where there is none; numbers are numbers, NaN where there is none.
    ``texts`` are columns of labels that no registry can know.
    """
    import pandas as pd

    with open(csv, encoding="utf-8", newline="") as file:
        header = next(reader(file))
    known = [*labels(), *map(escape, texts)]
    text = {name: "str" for name in header if any(fnmatchcase(name, one) for one in known)}
    frame = pd.read_csv(
        csv,
        nrows=most,
        dtype=text,
        keep_default_na=False,
        na_values={name: [""] for name in header if name not in text},
    )
    for name in text:
        frame[name] = frame[name].map(unguarded).astype("str")  # without rows too
    return frame
