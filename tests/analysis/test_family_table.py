"""The table of a family: fits that are no optimum are in it and are not counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from family_data import configuration, dataset, holm

from mixedflow.analysis import family, family_table
from mixedflow.config import families, reading
from mixedflow.config.specs import FamilySpec
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import save
from mixedflow.data.sources import read_source


@pytest.fixture
def members(tmp_path: Path) -> tuple[FamilySpec, dict[str, Path]]:
    """The family of scores, and the folders of its members, fitted."""
    dataset().to_csv(tmp_path / "all.csv", index=False)
    config = reading.load(configuration(), "config.yaml")
    spec, of = config.datasets["d"], config.families["scores"]
    paths = tmp_path / "data.parquet", tmp_path / "data_card.json"
    save(prepare(spec, read_source(spec.source, tmp_path, tmp_path)), *paths)
    made = {member.name: tmp_path / member.name for member in families.expand(of)}
    for batch in families.batches(of).values():
        folders = [made[member.name] for member in batch.members]
        family.fit_batch(batch, {"d": paths}, {}, folders)
    return of, made


def test_a_fit_that_is_no_optimum_is_shown_and_not_counted(
    members: tuple[FamilySpec, dict[str, Path]],
) -> None:
    of, folders = members
    doubtful = folders["y2.girls"] / "fit.json"
    fit = json.loads(doubtful.read_text("utf-8"))
    doubtful.write_text(json.dumps(fit | {"converged": False, "warnings": ["searches differ"]}))
    found = family_table.table(of, folders)
    row = found.set_index("member").loc["y2.girls"]
    assert (row["converged"], row["failure"]) == ("no", "searches differ")
    assert np.isfinite(row["p_value"]) and np.isnan(row["p_adjusted"])
    counted = found[found["converged"] == "yes"]
    assert len(counted) == 5
    expected = holm(counted["p_value"].to_numpy())
    assert counted["p_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-12)
