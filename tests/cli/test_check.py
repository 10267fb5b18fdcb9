"""``mixedflow check`` names every fault of a configuration that its data show, and runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from visits import Run, frame


@pytest.fixture
def mine(tmp_path: Path, run: Run) -> Path:
    """A folder with a CSV file and the configuration that init writes for it."""
    frame().to_csv(tmp_path / "visits.csv", index=False)
    roles = ("--outcome", "score", "--cluster", "clinic", "--predictor", "severity")
    options = (*roles, "--best", "high")
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


def _crossed(config: dict[str, Any]) -> None:
    config["models"]["crossed"] = {
        "dataset": "visits",
        "formula": slope(config)["formula"].replace(" | clinic", " + beds || clinic"),
    }
    config["comparisons"] = {"c": {"null": "random_slope", "alternative": "crossed"}}


def _ranked_with_wave(config: dict[str, Any]) -> None:
    with_formula("score ~ severity + (1 | clinic) + (1 | wave)")(config)
    slope(config).update(rank={"with": ["wave"]})


def _structures(effect: str = "severity", **more: Any) -> Callable[[dict[str, Any]], Any]:
    """Two structures that can be fitted, and those of ``more``."""

    def change(config: dict[str, Any]) -> None:
        fits = {
            "intercept": {"random": "(1 | clinic)"},
            "ar1": {"residual": {"correlation": {"ar1": "wave"}}},
        }
        config["structures"] = {
            "s": {
                "dataset": "visits",
                "formula": "score ~ severity",
                "effect": effect,
                "fits": fits | more,
            }
        }

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
    "ranked with what is crossed": (_ranked_with_wave, "'clinic' does not lie within 'wave'"),
    "contrast": (
        lambda c: slope(c).update(inference={"contrasts": {"x": "severity_d"}}),
        "'severity_c'",
    ),
    "effect of structures": (_structures("severty"), "structures.s.effect: 'severty'"),
    "formula of structures": (
        lambda c: (
            _structures()(c),
            c["structures"]["s"].update(formula="score ~ severty"),
        ),
        "structures.s.formula: unknown variable 'severty'",
    ),
    "column of a structure": (
        _structures(car1={"residual": {"correlation": {"car1": "waves"}}}),
        "structures.s.fits.car1.residual: unknown variable 'waves'; did you mean 'wave'?",
    ),
    "slope of a structure": (
        _structures(slope={"random": "(1 + bed | clinic)"}),
        "structures.s.fits.slope.formula: unknown variable 'bed'",
    ),
    "structure of nothing": (_structures(none={}), "structures.s.fits.none: has neither"),
    "visits of gee": (
        lambda c: slope(c).update(inference={"gee": ["independence", {"ar1": "severity"}]}),
        "inference.gee: ar1 needs whole numbers of visits: 'severity' is",
    ),
    "few clusters": (
        lambda c: c["datasets"]["visits"].update(filter="beds < 20", expect={}),
        "cannot be ranked",
    ),
    "not nested": (
        lambda c: c["comparisons"]["do_slopes_differ"].update(
            {None: "random_slope", "alternative": "random_intercept"}
        ),
        "swapped: 'random_intercept' is nested in 'random_slope'",
    ),
    "crossed": (_crossed, "'random_slope' is not nested in 'crossed': its random effects cannot"),
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


def test_check_lists_structures_and_their_rows(mine: Path, run: Run) -> None:
    edit(mine, _structures())
    code, out, err = run("check", mine / "config.yaml")
    missing = frame()[["score", "severity"]].isna().any(axis=1).sum()
    left = f"{150 - missing} rows, {missing} left out (missing values)"
    assert (code, err) == (0, "")
    assert f"structures.s: {left}; 2 structures: ar1, intercept" in out


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


def test_what_was_assumed_in_reading_is_said(mine: Path, run: Run) -> None:
    lines = (mine / "visits.csv").read_text("utf-8").splitlines()
    named = [lines[0], *(f'"{i}",{line}' for i, line in enumerate(lines[1:]))]
    (mine / "visits.csv").write_text("\n".join(named), "utf-8")
    code, out, err = run("check", mine / "config.yaml")
    assert (code, err) == (0, "")
    assert "15 clusters" in out
    assert "each row has one field more than the header: the first ('0', ...)" in out


def test_a_crossing_that_looks_like_a_power_is_noted(mine: Path, run: Run) -> None:
    edit(mine, with_formula("score ~ severity + severity^2 + (1 | clinic)"))
    code, out, _ = run("check", mine / "config.yaml")
    assert code == 0 and "severity^2 crosses severity with itself" in out


def test_several_factors_that_are_the_same_clusters(mine: Path, run: Run) -> None:
    frame().assign(site=lambda f: "s" + f["clinic"].astype(str)).to_csv(mine / "visits.csv")
    edit(mine, with_formula("score ~ 1 + (1 | clinic) + (1 | site)"))
    code, _, err = run("check", mine / "config.yaml")
    assert (
        code == 1 and "'clinic' and 'site' are the same 15 clusters of rows; leave one out" in err
    )


def test_notes_of_the_data_are_lines_and_no_faults(mine: Path, run: Run) -> None:
    data = frame()
    data.loc[3, "severity"] = -99
    data.to_csv(mine / "visits.csv", index=False)
    code, out, err = run("check", mine / "config.yaml")
    assert (code, err) == (0, "")
    assert "datasets.visits: note: 'severity' is -99 in 1 row" in out
    assert "missing_if(severity, -99)" in out


def test_names_that_look_alike_are_noted(mine: Path, run: Run) -> None:
    frame().assign(**{"\u00b5g": 1.0, "\u03bcg": 2.0, "Beds": 3}).to_csv(mine / "visits.csv")
    edit(mine, lambda c: c["datasets"]["visits"].update(expect={}))
    _, out, _ = run("check", mine / "config.yaml")
    assert "note: Columns 'beds' and 'Beds' are two" in out
    assert "U+03BC in place of U+00B5" in out


def test_an_outcome_of_two_values_is_a_caution(mine: Path, run: Run) -> None:
    data = frame()
    data["score"] = (data["score"] > data["score"].median()).astype(int)
    data.to_csv(mine / "visits.csv", index=False)
    code, out, err = run("check", mine / "config.yaml")
    assert (code, err) == (0, "")
    assert "models.random_slope: caution: The outcome 'score' has two values, 0 and 1" in out
