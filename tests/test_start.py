"""The first five minutes: ``mixedflow init``, ``check`` and ``show`` as a new user meets them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mixedflow import bootstrap, cli, data, mixed, start
from mixedflow.config import reading

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of a stranger, with which a new user begins. Left as it is."""
    folder = tmp_path_factory.mktemp("visits")
    save(folder / "2 Visits, 2024.sav")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


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


# From a file to a report


@pytest.fixture(scope="module")
def finished(visits: Path) -> Path:
    """The analysis that ``init`` begins, run."""
    before = os.getcwd()
    os.chdir(visits)
    try:
        options = ["--outcome", "score", "--cluster", "clinic", "--predictor", "severity"]
        assert cli.main(["init", "2 Visits, 2024.sav", *options]) == 0
    finally:
        os.chdir(before)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=visits,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return visits


def test_a_file_of_spss_becomes_a_report(finished: Path) -> None:
    page = (finished / "results" / "report.html").read_text("utf-8")
    assert "Besuche" in page and "<b>" not in page.split("Klinik", 1)[1][:40]
    ranking = pd.read_csv(finished / "results/models/random_slope/ranking.csv")
    assert set(ranking["cluster"]) == set(frame()["clinic"])


def test_show_prints_what_the_fit_itself_prints(finished: Path, run: Run) -> None:
    settings = reading.read(finished / "config.yaml")
    stored = finished / "results" / "datasets" / "data_2_Visits_2024"
    prepared = data.load(stored / "data.parquet", stored / "data_card.json")
    for name, model in settings.models.items():
        code, out, err = run("show", name, "--config", finished / "config.yaml")
        assert (code, err) == (0, "")
        fit = mixed.fit(model.formula, prepared.frame, model.method)
        assert out.endswith(fit.summary())
        assert "P>|z|" in out


def test_show_of_what_is_not_there(visits: Path, tmp_path: Path, run: Run) -> None:
    file, config = visits / "2 Visits, 2024.sav", tmp_path / "config.yaml"
    run("init", file, "--folder", tmp_path, "--outcome", "score", "--cluster", "clinic")
    code, out, err = run("show", "random_intercept", "--config", config)
    assert (code, out, err.count("\n")) == (1, "", 1) and "snakemake" in err
    code, out, err = run("show", "random_intercpt", "--config", config)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "did you mean 'random_intercept'?" in err
    folder = tmp_path / "results" / "models" / "random_intercept"
    folder.mkdir(parents=True)
    for name in ("fit.json", "fixed_effects.csv", "variance_components.csv"):
        (folder / name).write_text("{", "utf-8")
    code, out, err = run("show", "random_intercept", "--config", config)
    assert (code, out, err.count("\n")) == (1, "", 1)


def test_a_t_table_says_so() -> None:
    rows = frame().dropna()
    how = mixed.Reporting(df="satterthwaite")
    text = mixed.fit("score ~ severity + (1 | clinic)", rows, reporting=how).summary()
    assert "P>|t|" in text and "P>|z|" not in text


# What init writes


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
    raw = data.read_source(dataset.source, tmp_path, tmp_path)
    prepared = data.prepare(dataset, raw).frame
    plain = mixed.fit("score ~ severity + (1 + severity | clinic)", frame())
    found = mixed.fit(settings.models["random_slope"].formula, prepared)
    # The same data under other names; centring moves the intercept alone.
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)


@given(text=st.text(alphabet=st.characters(exclude_categories=("Cs",))))
@example("yes")
@example("a: b")
@example("x #y")
@example("end\x85\u2028\ufeff\x00")
@example("[a, b]")
@example("a - ")
@example("😀" * 200)
def test_any_text_is_one_line_of_yaml(text: str) -> None:
    block, flow = start.scalar(text), start.scalar(text, flow=True)
    assert block.isprintable() and flow.isprintable()
    assert yaml.safe_load(f"k:\n  a: {block}\n  b: {{c: {flow}, d: [{flow}, 1]}}\n") == {
        "k": {"a": text, "b": {"c": text, "d": [text, 1]}}
    }


# What init refuses


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


# check


@pytest.fixture
def mine(tmp_path: Path, run: Run) -> Path:
    """A folder with a CSV file and the configuration that init writes for it."""
    frame().to_csv(tmp_path / "visits.csv", index=False)
    options = ("--outcome", "score", "--cluster", "clinic", "--predictor", "severity")
    assert run("init", tmp_path / "visits.csv", "--folder", tmp_path, *options)[0] == 0
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    change(config)
    path.write_text(yaml.safe_dump(config), "utf-8")


def test_check_sums_up_and_writes_nothing(mine: Path, run: Run) -> None:
    before = sorted(mine.rglob("*"))
    code, out, err = run("check", mine / "config.yaml")
    assert (code, err) == (0, "")
    # 150 rows; 4 outcomes and 1 predictor are missing (frame, above), in different rows.
    missing = frame()[["score", "severity"]].isna().any(axis=1).sum()
    assert f"{150 - missing} rows, {missing} left out" in out
    assert "15 clusters" in out and "random_slope" in out
    assert sorted(mine.rglob("*")) == before


def slope(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["models"]["random_slope"]
    return found


def with_formula(formula: str) -> Callable[[dict[str, Any]], Any]:
    def change(config: dict[str, Any]) -> None:
        slope(config).update(formula=formula, rank=None)
        config["comparisons"] = {}

    return change


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown column": (
        with_formula("score ~ severty + (1 | clinic)"),
        "did you mean 'severity'?",
    ),
    "text outcome": (with_formula("note ~ severity + (1 | clinic)"), "not numeric"),
    "rank": (with_formula("score ~ beds + I(beds * 2) + (1 | clinic)"), "collinear"),
    "too many random effects": (
        with_formula("score ~ severity + (1 + severity + C(wave) | clinic)"),
        "more random effects than the clusters can bear",
    ),
    "unknown ranked term": (lambda c: slope(c).update(rank={"by": "sevrity_c"}), "'severity_c'"),
    "contrast": (
        lambda c: slope(c).update(inference={"contrasts": {"x": "severity_d"}}),
        "'severity_c'",
    ),
    "few clusters": (
        lambda c: c["datasets"]["visits"].update(filter="beds < 20", expect={}),
        "cannot be ranked",
    ),
    "not nested": (
        lambda c: c["comparisons"]["do_slopes_differ"].update(
            {None: "random_slope", "alternative": "random_intercept"}
        ),
        "not nested",
    ),
    "explored text": (
        lambda c: c["datasets"]["visits"]["explore"].update(outcome="note"),
        "not numeric",
    ),
    "file": (
        lambda c: c["datasets"]["visits"]["source"].update(file="visit.csv"),
        "did you mean 'visits.csv'?",
    ),
    "key": (lambda c: c["datasets"]["visits"].update(clustr="clinic"), "did you mean 'cluster'?"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_check_names_the_fault(name: str, mine: Path, run: Run) -> None:
    change, expected = FAULTS[name]
    edit(mine, change)
    code, _, err = run("check", mine / "config.yaml")
    assert code == 1
    assert err.count("\n") == 1 and expected in err, err


def test_check_names_every_fault(mine: Path, run: Run) -> None:
    """Models on other rows can each be fitted, and not be compared."""

    def change(config: dict[str, Any]) -> None:
        config["models"]["random_intercept"]["formula"] = "score ~ 1 + (1 | clinic)"
        config["models"]["random_intercept"]["method"] = "ml"
        slope(config)["method"] = "ml"
        config["models"]["other"] = {"dataset": "visits", "formula": "score ~ x + (1 | clinic)"}

    edit(mine, change)
    code, out, err = run("check", mine / "config.yaml")
    assert code == 1 and "models.random_slope" in out
    assert err.count("\n") == 2
    assert "different rows" in err and "'x'" in err


def test_a_file_that_has_changed_stops(mine: Path, run: Run) -> None:
    frame().head(-1).to_csv(mine / "visits.csv", index=False)
    code, _, err = run("check", mine / "config.yaml")
    assert code == 1 and "expected rows 150, found 149" in err


def test_an_url_is_not_downloaded(mine: Path, run: Run) -> None:
    def change(config: dict[str, Any]) -> None:
        config["datasets"]["visits"]["source"] = {"url": "https://example.invalid/visits.csv"}

    edit(mine, change)
    code, out, err = run("check", mine / "config.yaml")
    assert (code, err) == (0, "") and "not downloaded" in out


# How far a bootstrap is


def test_a_long_bootstrap_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter(range(0, 1000, 60))
    monkeypatch.setattr(bootstrap.time, "monotonic", lambda: next(seconds))
    fit = mixed.fit("score ~ severity + (1 | clinic)", frame())
    with caplog.at_level(logging.INFO, "mixedflow.bootstrap"):
        draws = bootstrap.simulate(fit, 3 * bootstrap.CHUNK, seed=3)
    # A minute a chunk, by the clock above; the last chunk needs no line.
    assert [record.getMessage() for record in caplog.records] == [
        "bootstrap: 50 of 150 draws, about 2 min left",
        "bootstrap: 100 of 150 draws, about 60 s left",
    ]
    assert len(draws.s2) == 150
