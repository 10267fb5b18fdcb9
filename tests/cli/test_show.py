"""The table of a model in the terminal, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

from visits import Run, frame

from mixedflow import api
from mixedflow.inference.results import Reporting


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
    how = Reporting(df="satterthwaite")
    text = api.fit("score ~ severity + (1 | clinic)", rows, reporting=how).summary()
    assert "P>|t|" in text and "P>|z|" not in text
