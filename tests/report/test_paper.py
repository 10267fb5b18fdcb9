"""Tables of a paper hold the numbers of their artifacts, each in its model's column."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from fit_reports import model_report
from report_run import hostile_card, write_run
from residual_rows import car1, row, spread

from mixedflow.artifacts import stored
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.errors import SourceError
from mixedflow.report import paper

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def schools() -> paper.SideBySide:
    names = ("school_intercept", "school_slope", "school_gender")
    return paper.side_by_side([paper.read(RESULTS / "models" / n) for n in names])


def cell(table: paper.SideBySide, part: str, row: str, model: str) -> paper.Cell:
    rows = dict(dict(table.parts)[part])
    return rows[row][table.models.index(model)]


def test_numbers_of_the_lecture_stand_in_their_columns(schools: paper.SideBySide) -> None:
    # The lecture's REML fit of this model; four digits are printed.
    assert cell(schools, "Fixed part", "lrt_groupc", "school_slope") == ("0.5530", "(0.01995)")
    assert cell(schools, "Random part", "SD of Intercept: school", "school_slope")[0] == "4.221"
    correlation = "Correlation of Intercept and lrt_groupc"
    assert cell(schools, "Random part", correlation, "school_slope")[0] == "0.5482"
    assert cell(schools, "Fit", "Clusters", "school_slope")[0] == "65"


def test_a_term_that_a_model_lacks_is_empty(schools: paper.SideBySide) -> None:
    assert cell(schools, "Fixed part", "girl", "school_slope") == ("", "")
    assert cell(schools, "Fixed part", "girl", "school_gender")[0] != ""
    assert cell(schools, "Random part", "SD of lrt_groupc: school", "school_intercept")[0] == ""
    assert dict(schools.parts)["Random part"][-1][0] == "SD of the residual"


def test_html_and_latex_have_a_cell_for_each_model(schools: paper.SideBySide) -> None:
    html, latex = paper.html(schools), paper.latex(schools, "x", "tab:x")
    for line in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)[1:]:
        assert line.count("<td") == 3
    rows = latex[latex.index("\\endlastfoot") :].splitlines()[1:-1]
    cells = [row for row in rows if "&" in row]
    assert len(cells) > 15 and all(len(re.findall(r"(?<!\\)&", row)) == 3 for row in cells)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "results")
    return tmp_path / "results"


def test_strangers_words_are_escaped_in_what_is_written(run: Path) -> None:
    fits = sorted((run / "models").glob("*/fit.json"))
    rankings = sorted((run / "models").glob("*/ranking.csv"))
    cards = sorted((run / "datasets").glob("*/data_card.json"))
    paper.write(fits, rankings, run / "comparisons.csv", cards)
    written = sorted(run.rglob("*.tex"))
    assert len(written) == 2 * len(fits) + len(rankings) + 2
    for path in written:
        text = path.read_text(encoding="utf-8")
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        assert "<script>" not in text and "\u202e" not in text
    page = (cards[0].parent / "models.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "stuck (not converged)" in page.replace("<wbr>", "")


def test_a_missing_artifact_is_one_line(run: Path) -> None:
    with pytest.raises(SourceError, match="artifact"):
        paper.write([run / "models" / "none" / "fit.json"], [], None, [])


def test_a_data_set_without_models_has_an_empty_table(tmp_path: Path) -> None:
    card = tmp_path / "data_card.json"
    card.write_text(json.dumps(hostile_card()), encoding="utf-8")
    paper.write([], [], None, [card])
    assert "<table" in (tmp_path / "models.html").read_text(encoding="utf-8")


def test_a_variance_at_its_boundary_has_no_standard_error() -> None:
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error"]
    rows = [("g", "Intercept", "", "sd", 0.0, float("nan")), ("Residual", "", "", "sd", 1.5, 0.1)]
    fit = ModelReport.read(RESULTS / "models" / "growth" / "fit.json")
    fixed = stored.read(RESULTS / "models" / "growth" / "fixed_effects.csv")
    components = pd.DataFrame(rows, columns=columns)
    table = paper.side_by_side([paper.Fitted(fit, fixed, components)])
    assert cell(table, "Random part", "SD of Intercept: g", "growth") == ("0", "")


def structured(model: str, residual: object, rows: list[dict[str, object]]) -> paper.Fitted:
    fit = model_report(model=model, formula="y ~ x", random_terms=[], residual=residual)
    fixed = pd.DataFrame([{"term": "x", "estimate": 1.0, "std_error": 0.5}])
    return paper.Fitted(fit, fixed, pd.DataFrame(rows))


def test_parameters_of_residual_structures_have_rows_of_their_own() -> None:
    """After those of the random effects, and none in a cell of another structure."""
    by = [*spread(2.0, "girl = 0"), *spread(3.0, "girl = 1")]
    by.append(row("ratio", "girl = 1", 2.25, "girl = 0"))
    table = paper.side_by_side(
        [
            structured("serial", {"correlation": {"car1": "age"}}, [*spread(2.0), *car1(0.5)]),
            structured("groups", {"variance": {"by": "girl"}}, by),
        ]
    )
    assert [
        (name, cells[0][0], cells[1][0]) for name, cells in dict(table.parts)["Random part"]
    ] == [
        ("SD of the residual", "2.000", ""),
        ("Residual correlation, age 1 apart", "0.5000", ""),
        ("Residual range over age", "1.443", ""),
        ("Residual SD where girl = 0", "", "2.000"),
        ("Residual SD where girl = 1", "", "3.000"),
        ("Residual variance, girl = 1 over girl = 0", "", "2.250"),
    ]


def test_rows_of_the_random_part_have_their_terms_as_called() -> None:
    components = pd.DataFrame(
        [
            ("g", "Intercept", "", "sd"),
            ("g", "x", "", "sd"),
            ("g", "Intercept", "x", "corr"),
            ("Residual", "", "", "sd"),
        ],
        columns=["group", "term1", "term2", "scale"],
    )
    fixed = pd.DataFrame({"term": ["Intercept", "x"]})
    one = paper.Fitted(model_report(model="m"), fixed, components)
    found = paper.relabelled([one], {"x": "Age", "Intercept": "Intercept"}.__getitem__)
    assert found["x"] == "Age"
    assert found["SD of x: g"] == "SD of Age: g"
    assert found["Correlation of Intercept and x"] == "Correlation of Intercept and Age"
    assert "SD of the residual" not in found
