"""Classes in schools, some of both small: nothing of a small one is published or follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedflow.analysis import levels
from mixedflow.analysis.family import fit_batch
from mixedflow.analysis.model import fit_model
from mixedflow.analysis.ranking import rank_model
from mixedflow.artifacts.fit_report import MemberReport
from mixedflow.config import families, reading
from mixedflow.data.disclosure import Rule
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import save
from mixedflow.data.sources import read_dataset
from mixedflow.figures.levels import nesting
from mixedflow.figures.style import Labels
from mixedflow.ranking.posterior import Posterior

# School s0 has a class of 3 beside three of 12; s1 has 2 rows in all and s2 4, one class each.
CLASSES = {("s0", "a"): 3, ("s0", "b"): 12, ("s0", "c"): 12, ("s0", "d"): 12}
CLASSES |= {("s1", "a"): 2, ("s2", "a"): 4}
CLASSES |= {(f"s{k}", name): 6 + k for k in range(3, 9) for name in "abc"}
SCHOOLS = {"s1", "s2"}  # 6 rows together
NESTED = {"s0:a", "s0:b", "s1:a", "s2:a"}
CONFIG = {
    "datasets": {"d": {"source": {"file": "d.csv"}, "cluster": "school", "suppress": {"min_n": 5}}},
    "models": {
        "m": {
            "dataset": "d",
            "formula": "y ~ x + (1 | school/room)",
            "rank": {"group": "school:room"},
        }
    },
    "families": {
        "f": {
            "dataset": "d",
            "formula": "y ~ x + (1 | school)",
            "for": {"subset": {"low": "x < 0", "all": "x < 99"}},
        }
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("d")
    rng = np.random.default_rng(4)
    rows = [(s, c) for (s, c), n in CLASSES.items() for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["school", "room"])
    school = frame["school"].map({s: rng.normal() for s in frame["school"].unique()})
    room = frame.groupby(["school", "room"]).ngroup().map(dict(enumerate(rng.normal(size=99))))
    frame["x"] = rng.normal(size=len(frame))
    frame["y"] = school + room + frame["x"] + rng.normal(size=len(frame))
    frame.to_csv(folder / "d.csv", index=False)
    config = reading.load(CONFIG)
    spec = config.datasets["d"]
    return folder, config, spec, prepare(spec, read_dataset(spec, folder, folder))


@pytest.fixture(scope="module")
def fitted(made):
    _, config, spec, prepared = made
    return fit_model(config.models["m"], prepared, spec)


def test_no_table_of_either_factor(fitted):
    for name, table in fitted.tables.items():
        if "group" not in table or "cluster" not in table:
            continue
        for factor, hidden in (("school", SCHOOLS), ("school:room", NESTED)):
            shown = {*table.loc[table["group"] == factor, "cluster"].astype(str)}
            assert not shown & hidden, name
    effects = fitted.tables["cluster_effects"]
    rooms = {*effects.loc[effects["group"] == "school:room", "cluster"]}
    assert rooms == {f"{s}:{c}" for s, c in CLASSES} - NESTED
    rows = fitted.tables["predictions"]
    assert not {*rows["cluster_school:room"]} & NESTED and not {*rows["cluster"]} & SCHOOLS


def test_the_rows_of_a_small_class_do_not_follow(fitted):
    """School s0 less its classes that are shown leaves 15 rows in two classes, not 3 in one."""
    effects = fitted.tables["cluster_effects"].set_index(["group", "cluster"])["n"]
    shown = [n for (of, name), n in effects.items() if of == "school:room" and name[:2] == "s0"]
    assert effects["school", "s0"] - sum(shown) == 15
    groups = {group.name: group.withheld for group in fitted.report.groups}
    assert groups == {
        "school": {"clusters": 2, "rows": 6}, "school:room": {"clusters": 4, "rows": 21}
    }  # fmt: skip


def test_places_in_the_posterior_are_moved_up(made, fitted):
    _, config, _, _ = made
    names = [str(name) for name in fitted.posterior["groups"]]
    inner, outer = names.index("school:room"), names.index("school")
    parents = fitted.posterior[f"{inner}/parents"][:, outer]
    schools = fitted.posterior[f"{outer}/clusters"][parents]
    rooms = fitted.posterior[f"{inner}/clusters"]
    assert [str(room).split(":")[0] for room in rooms] == [str(name) for name in schools]
    spec = config.models["m"].rank
    posterior = Posterior.of(fitted.posterior, "school:room", ("school",))
    assert len(posterior.names) == len(rooms) == len(CLASSES) - 4
    ranks = rank_model(spec, Posterior.of(fitted.posterior, "school:room"), fitted.report)
    assert not NESTED & {*ranks.tables["ranking"]["cluster"]}
    assert ranks.verdict["withheld"] == {"clusters": 4, "rows": 21}


def test_levels_show_those_published(made):
    _, _, spec, prepared = made
    every = levels.Levels.of(prepared.frame, [("school",), ("school", "room")])
    shown = every.published(Rule.of(spec), prepared.frame)
    table = levels.tables(every, shown)["levels"].set_index("group")
    assert table["n"].to_dict() == {"school:room": 24, "school": 9}
    assert table.loc["school:room", "min"] == 9
    assert table.loc["school", "min"] == 24  # of s0 the rows of the classes shown
    assert table.loc["school", "mean"] == pytest.approx(len(prepared.frame) / 9)
    texts = {text.get_text() for axis in nesting(shown, Labels({})).axes for text in axis.texts}
    assert not texts & SCHOOLS


def test_members_of_subsets_list_no_cluster(made, tmp_path):
    """All rows less those of a subset are the rest of a cluster, however small."""
    _, config, _, prepared = made
    data, card = tmp_path / "data.parquet", tmp_path / "data_card.json"
    save(prepared, data, card)
    family = config.families["f"]
    (batch,) = families.batches(family).values()
    folders = [tmp_path / member.name for member in batch.members]
    fit_batch(batch, {"d": (data, card)}, {}, folders)
    for folder in folders:
        assert (folder / "cluster_effects.csv").read_text("utf-8").count("\n") == 1
        report = MemberReport.read(folder / "fit.json")
        (group,) = report.groups
        assert group.withheld["clusters"] == group.n_groups
        assert group.group_size.min == group.group_size.max == round(group.group_size.mean)
    assert not Path(tmp_path / "failure.txt").exists()
