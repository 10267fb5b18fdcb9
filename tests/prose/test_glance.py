"""A fit on one screen, for a prompt and for a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report

import mixedflow
from mixedflow.inference.results import Reporting
from mixedflow.prose.glance import Glance

HOSTILE = "<script>alert(1)</script>\x1b[2J&amp;"


class Cells(HTMLParser):
    """Every cell's text, and every element's name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(12), 6)
    x, arm = rng.normal(size=72), rng.choice(["0", HOSTILE], 72)
    y = x + rng.normal(size=12)[group] + rng.normal(size=72)
    frame = pd.DataFrame({"y": y, "x": x, "arm": arm, "the group": group})
    frame.loc[0, "x"] = np.nan
    return frame


@pytest.fixture(scope="module")
def fit(rows: pd.DataFrame) -> mixedflow.Fit:
    return mixedflow.fit("y ~ x + arm + (1 | `the group`)", rows)


def test_it_is_one_screen_with_what_matters(fit: mixedflow.Fit) -> None:
    lines = repr(fit).splitlines()
    assert len(lines) <= 24
    x = fit.fixed_effects.set_index("term").loc["x"]
    (shown,) = [line.split()[1:] for line in lines if line.startswith("x ")]
    assert [float(cell.replace("−", "-")) for cell in shown] == pytest.approx(
        [x["estimate"], x["conf_low"], x["conf_high"]], rel=1e-3
    )
    sd = fit.variance_components.set_index("scale").loc["sd", "estimate"].iloc[0]
    (shown,) = [line.split() for line in lines if "sd(Intercept)" in line]
    assert float(shown[-3]) == pytest.approx(sd, rel=1e-3)
    assert "71 rows in 12 of the group (5 to 6 rows each)" in lines
    assert any(f"AIC {fit.report().aic:.2f}"[:8] in line for line in lines)
    assert lines[-1] == "Careful: 1 row with missing values left out"


def test_strangers_labels_are_escaped(fit: mixedflow.Fit) -> None:
    text, page = repr(fit), Cells(fit._repr_html_())
    assert "\x1b" not in text and "script" not in page.names
    assert f"arm[{HOSTILE}]" in page.cells
    assert {"table", "tr", "td", "th", "p", "ul", "li"} <= page.names


def test_long_tables_are_cut_and_said_to_be() -> None:
    names = ("estimate", "conf_low", "conf_high")
    fixed = pd.DataFrame({"term": [f"x{k}" for k in range(40)]} | dict.fromkeys(names, 1.0))
    components = pd.DataFrame(
        {"group": "g", "term1": [f"x{k}" for k in range(30)], "term2": "", "scale": "sd"}
        | dict.fromkeys(names, 1.0)
    )
    text = Glance("y ~ x", "y", model_report(), fixed, components).text()
    assert "and 32 more in .fixed_effects" in text
    assert "and 22 more in .variance_components" in text and text.count("\n") < 24


def test_what_speaks_against_a_fit_is_said() -> None:
    nothing = pd.DataFrame({"term": [], "estimate": [], "conf_low": [], "conf_high": []})
    empty = nothing.assign(group=[], term1=[], term2=[], scale=[])
    doubt = {"kind": "binary", "low": 0.0, "high": 1.0}
    report = model_report(converged=False, warnings=("searches differ",), outcome_doubt=doubt)
    text = Glance("y ~ x", "y", report, nothing, empty).text()
    for told in ("did not converge", "searches differ", "logistic"):
        assert told in text


def test_nobody_waits_for_a_bootstrap(fit: mixedflow.Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = mixedflow.Fit(fit.fitted, Reporting(intervals="bootstrap"))
    monkeypatch.setattr("mixedflow.inference.results.simulate", None)
    assert "Wald intervals" in repr(asked) and "Wald" not in repr(fit)
