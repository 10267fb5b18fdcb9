"""Verdicts on assumptions stand on the report for the leading model, and on each model's page."""

from __future__ import annotations

import re
from pathlib import Path

from report_run import CONFIG, write_run

from mixedflow.report import page

HEAD = "check,group,term,worst,n,value,limit,p_value,skewness,departs\n"
ROWS = (
    "residuals_normal,,,,42,0.998,0.99,0.7,0.1,no\n"
    "influence,school,lrt,<b>S</b>,5,1.4,1,,,yes\n"
    "collinear,,lrt,,2,1.5,10,,,no\n"
)


def test_verdicts_link_to_their_figures(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "models/good/checks.csv").write_text(HEAD + ROWS, encoding="utf-8")
    made = page.pages(tmp_path, CONFIG)
    own = made["appendix/model-good.html"]
    (listed,) = re.findall(r'<ul class="checks">(.*?)</ul>', own, re.DOTALL)
    first, single, last = re.findall(r"<li.*?</li>", listed, re.DOTALL)
    assert (
        '<a href="../appendix/model-good.html#good-residual_qq">Residuals</a>: <b>normal' in first
    )
    assert 'id="good-residual_qq"' in own
    assert single.startswith('<li class="departs">') and "&lt;b&gt;S&lt;/b&gt;" in single
    assert "See whether the conclusion stands without it." in single
    assert "<a" not in last and "Collinearity: <b>none" in last
    # Those of a run without the table have no list.
    assert 'class="checks"' not in made["appendix/model-flat.html"]
