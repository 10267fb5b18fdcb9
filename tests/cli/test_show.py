"""The table of a model in the terminal, and what is said where there is none."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from fit_reports import model_report
from visits import Run, frame

from mixedflow import api
from mixedflow.artifacts import stored, tables
from mixedflow.inference.results import Reporting
from mixedflow.prose import findings


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
    tables_ = ("fixed_effects", "variance_components", "term_tests", "fixed_correlations")
    for name in ("fit.json", *(f"{name}.csv" for name in tables_)):
        (folder / name).write_text("{", "utf-8")
    code, out, err = run("show", "random_intercept", "--config", config)
    assert (code, out, err.count("\n")) == (1, "", 1)


def test_a_t_table_says_so() -> None:
    rows = frame().dropna()
    how = Reporting(df="satterthwaite")
    text = api.fit("score ~ severity + (1 | clinic)", rows, reporting=how).summary()
    assert "P>|t|" in text and "P>|z|" not in text


@pytest.fixture
def finished(visits: Path, tmp_path: Path, run: Run) -> tuple[Path, Path]:
    """A configuration, and the folder of its one model as a run leaves it."""
    config = tmp_path / "config.yaml"
    file = visits / "2 Visits, 2024.sav"
    run("init", file, "--folder", tmp_path, "--outcome", "score", "--cluster", "clinic")
    folder = tmp_path / "results" / "models" / "random_intercept"
    folder.mkdir(parents=True)
    fit = api.fit("score ~ severity + (1 | clinic)", frame().dropna())
    tables.write(fit.fixed_effects, folder / "fixed_effects.csv")
    tables.write(fit.variance_components, folder / "variance_components.csv")
    tables.write(fit.term_tests(), folder / "term_tests.csv")
    tables.write(fit.fixed_correlations, folder / "fixed_correlations.csv")
    return config, folder


def test_show_has_the_cautions_of_the_report(finished: tuple[Path, Path], run: Run) -> None:
    config, folder = finished
    doubt = {"kind": "binary", "low": 0.0, "high": 1.0}
    singular = {"singular": True, "warnings": ("singular fit: nothing varies",)}
    for report in (
        model_report(n_missing=4),
        model_report(outcome_doubt=doubt, **singular),
        model_report(converged=False, warnings=("searches differ", "a second")),
    ):
        report.write(folder / "fit.json")
        said = findings.cautions([], [report], [])
        assert said
        code, out, err = run("show", "random_intercept", "--config", config)
        assert (code, err) == (0, "")
        _, _, careful = out.partition("\nWhat to be careful about:\n")
        assert careful.splitlines() == [f"  {text.striptags()}" for text in said]
        assert all(out.count(warning) == 1 for warning in report.warnings)
    model_report().write(folder / "fit.json")
    assert "careful" not in run("show", "random_intercept", "--config", config)[1]


def test_an_empty_end_of_a_profile_interval_is_explained(
    finished: tuple[Path, Path], run: Run
) -> None:
    config, folder = finished
    path = folder / "fixed_effects.csv"
    table = stored.read(path)
    for intervals, end, told in (
        ("profile", 1.0, False),
        ("profile", math.nan, True),
        ("wald", math.nan, False),
    ):
        how = {"df": "normal", "intervals": intervals}
        report = model_report(inference=how)
        report.write(folder / "fit.json")
        tables.write(table.assign(conf_high=end), path)
        out = run("show", "random_intercept", "--config", config)[1]
        assert ("An empty end of a profile interval was not found" in out) == told


def test_standard_deviations_where_they_are_asked_for(
    finished: tuple[Path, Path], run: Run
) -> None:
    config, folder = finished
    fit = api.fit("score ~ severity + (1 | clinic)", frame().dropna())
    model_report(group="clinic").write(folder / "fit.json")
    shown = [
        run("show", "random_intercept", "--config", config, *more)[1] for more in ((), ("--sd",))
    ]
    own = fit.variance_components.iloc[:2].set_index("scale")["estimate"]
    for scale, other, text in zip(("var", "sd"), ("sd(", "var("), shown, strict=True):
        (value,) = re.findall(rf"{scale}\(Intercept\) +(\S+)", text)
        assert float(value) == pytest.approx(own[scale], rel=1e-6) and other not in text
