"""What ``mixedflow init`` writes for a file, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from visits import FILE_LABEL, LABELS, Run, frame

from mixedflow import api
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
    assert config["models"]["random_slope"]["rank"] == {"by": "Intercept", "best": "high"}
    assert list(config["comparisons"].values()) == [
        {None: "random_intercept", "alternative": "random_slope"}
    ]


@pytest.mark.parametrize(
    ("options", "formulas"),
    [
        ([], ["score ~ 1 + (1 | clinic)"]),
        (
            ["--time", "wave"],
            ["score ~ wave_0 + (1 | clinic)", "score ~ wave_0 + (1 + wave_0 | clinic)"],
        ),
        # Constant within clusters: no slope of theirs can be estimated.
        (["--predictor", "beds"], ["score ~ beds_c + (1 | clinic)"]),
        (
            ["--predictor", "beds", "--time", "wave"],
            [
                "score ~ beds_c + wave_0 + (1 | clinic)",
                "score ~ beds_c + wave_0 + (1 + wave_0 | clinic)",
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
    assert ("explore" in dataset) == bool({"wave", "beds"} & set(options))


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
