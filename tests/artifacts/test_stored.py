"""Tables as they are read back: labels are text, numbers are numbers, whatever there is of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_string_dtype

from mixedflow.artifacts import stored, tables


def read(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    tables.write(frame, folder / "table.csv")
    return stored.read(folder / "table.csv")


def test_labels_that_look_like_numbers_or_formulas_are_text(tmp_path: Path) -> None:
    labels = ["01", "1e5", "NA", "", "=1+1", "'=1", "-x"]
    frame = pd.DataFrame({"cluster": labels, "expression": labels, "estimate": range(7)})
    back = read(frame, tmp_path)
    assert back["cluster"].tolist() == labels and back["expression"].tolist() == labels


def test_a_missing_number_is_one_below_a_name_with_a_comma_too(tmp_path: Path) -> None:
    name = "dfbeta_bs(x, 3)"
    back = read(pd.DataFrame({"cluster": ["a", "b"], name: [0.5, np.nan]}), tmp_path)
    assert is_numeric_dtype(back[name]) and np.isnan(back[name][1])


def test_labels_of_no_row_are_labels(tmp_path: Path) -> None:
    back = read(pd.DataFrame({"contrast": [], "estimate": []}), tmp_path)
    assert is_string_dtype(back["contrast"]) and not is_numeric_dtype(back["contrast"])
