"""The report: everything shown, nothing from outside, strangers' words as text only."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mixedflow import captions, cards, pages, report, tables
from mixedflow.errors import SourceError

HOSTILE = "<script>alert('x')</script>\"& quote\nnew line \u202eright-to-left עברית 🐑"
SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="360pt" height="216pt"
 viewBox="0 0 360 216" xmlns="http://www.w3.org/2000/svg" version="1.1">
 <title>A plot of &lt;script&gt; things</title>
 <metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style></defs>
 <!-- a comment -->
 <g id="figure_1"><defs><path id="m1" d="M 0 3 L 3 0"/>
 <clipPath id="p1"><rect x="7" y="7" width="346" height="180"/></clipPath></defs>
 <g clip-path="url(#p1)"><use xlink:href="#m1" x="20" y="30" onclick="alert(1)"/></g>
 <image xlink:href="https://example.org/spy.png"/>
 <text style="font: 10px 'DejaVu Sans'">id="m1" is no attribute here</text></g>
</svg>
"""
FIGURES = ("means", "fitted_lines", "shrinkage", "variance")
DIAGNOSTICS = ("residual_qq", "residuals_fitted", "effects_qq", "influence")


def _fit(name: str, **changes: Any) -> dict[str, Any]:
    fit = {
        "model": name,
        "title": f"{name} {HOSTILE}",
        "dataset": "schools",
        "formula": "gcse ~ lrt + girl + lrt:girl + (1 + lrt | school)",
        "method": "reml",
        "outcome": "gcse",
        "group": "school",
        "n_obs": 40,
        "n_groups": 5,
        "n_missing": 2,
        "group_size": {"min": 2, "mean": 8.0, "max": 12},
        "fixed_terms": ["Intercept", "lrt", f"type[{HOSTILE}]", f"lrt:type[{HOSTILE}]"],
        "random_terms": ["Intercept", "lrt"],
        "correlated": True,
        "x": "lrt",
        "by": None,
        "log_likelihood": -123.456789,
        "aic": 262.9,
        "bic": 270.1,
        "n_parameters": 8,
        "wald": {"chi2": 768.5, "df": 3, "p_value": 0.0},
        "lr_vs_linear": {
            "statistic": 12.3,
            "df": 3,
            "p_value": 0.0064,
            "distribution": "chi2(3), conservative",
        },
        "icc": None,
        "inference": {"df": "normal", "intervals": "wald"},
        "gee": {"gee_correlation": 0.31, "model_correlation": 0.29},
        "vpc": {
            "predictor": "lrt",
            "mean_x": 0.0,
            "estimate": 0.244,
            "conf_low": 0.2,
            "conf_high": 0.3,
        },
        "variance_function": {"predictor": "lrt", "minimum_at": -12.5},
        "r2": {"marginal": 0.3, "conditional": 0.45},
        "converged": True,
        "singular": False,
        "evidence": {
            "log_likelihood": -123.456789,
            "scaled_gradient": 1e-9,
            "diagnosis": "The optimum lies in the interior.",
            "next_step": "",
            "starts": {
                "minque": {"log_likelihood": -123.456789, "iterations": 4},
                "unit": {"log_likelihood": -123.456789, "iterations": 7},
            },
            "mixedlm": {
                "how": "polished from the optimum",
                "log_likelihood": -123.456789,
                "difference": 1e-9,
                "tolerance": 1e-6,
            },
        },
        "warnings": [],
    }
    return {**fit, **changes}


def _card() -> dict[str, Any]:
    return {
        "dataset": "schools",
        "title": f"Schools {HOSTILE}",
        "file_label": "synthetic " + HOSTILE,
        "source": {"kind": "file", "description": f"data/{HOSTILE}.dta", "sha256": "ab" * 32},
        "cluster": "school",
        "time": None,
        "rows_read": 45,
        "rows": 42,
        "clusters": 5,
        "steps": [
            {"step": "read", "detail": HOSTILE, "rows": 45, "lost": 0},
            {"step": "filter", "detail": "lrt > 0", "rows": 42, "lost": 3},
        ],
        "cluster_sizes": {"n": 5, "mean": 8.4, "sd": 3.2, "min": 2, "max": 12},
        "variables": [
            {
                "name": "lrt",
                "label": HOSTILE,
                "kind": "number",
                "derived": "10 * standLRT",
                "depends_on": ["standLRT"],
                "missing": 2,
                "n": 40,
                "mean": 1.25,
                "sd": 2.0,
                "min": -3.0,
                "max": 4.0,
                "levels": None,
            },
            {
                "name": "type",
                "label": "Type",
                "kind": "category",
                "derived": None,
                "depends_on": [],
                "missing": 0,
                "n": 42,
                "mean": None,
                "sd": None,
                "min": None,
                "max": None,
                "levels": [{"value": HOSTILE, "label": HOSTILE, "n": 42}],
            },
        ],
    }


def _write_model(folder: Path, fit: dict[str, Any]) -> None:
    (folder / "figures").mkdir(parents=True)
    (folder / "fit.json").write_text(json.dumps(fit), encoding="utf-8")
    k = len(fit["fixed_terms"])
    fixed = pd.DataFrame(
        {
            "term": fit["fixed_terms"],
            "estimate": [69.8, 0.553, -1.5, 0.25][:k],
            "std_error": [0.54, 0.02, 0.7, 0.1][:k],
            "statistic": [128.96, 27.72, -2.1, 2.5][:k],
            "df": [float("nan")] * k,
            "p_value": [0.0, 0.0, 0.032, 0.012][:k],
            "conf_low": [68.8, 0.514, -2.9, 0.05][:k],
            "conf_high": [70.9, 0.592, -0.1, 0.45][:k],
        }
    )
    tables.write(fixed, folder / "fixed_effects.csv")
    rows = [
        ("school", "Intercept", "", "var", 22.1),
        ("school", "Intercept", "", "sd", 4.7),
        ("school", "lrt", "", "var", 0.0144),
        ("school", "Intercept", "lrt", "cov", -0.18),
        ("Residual", "", "", "var", 55.4),
    ]
    components = pd.DataFrame(rows, columns=["group", "term1", "term2", "scale", "estimate"])
    for name in ("std_error", "conf_low", "conf_high"):
        components[name] = 0.1 * components["estimate"]
    tables.write(components, folder / "variance_components.csv")
    tables.write(fixed.assign(method="cluster-robust CR1"), folder / "alternatives.csv")
    contrasts = fixed.rename(columns={"term": "contrast"}).assign(expression=HOSTILE)
    tables.write(contrasts, folder / "contrasts.csv")
    for name in (*FIGURES, *DIAGNOSTICS):
        (folder / "figures" / f"{name}.svg").write_text(SVG, encoding="utf-8")


def _write_ranking(folder: Path) -> None:
    clusters = [HOSTILE, "=1+1", "3", "4", "5"]
    frame = pd.DataFrame({"cluster": clusters, "n": [2, 8, 12, 10, 8]})
    frame["estimate"] = [3.0, 1.0, 0.0, -1.0, -3.0]
    frame["conf_low"], frame["conf_high"] = frame["estimate"] - 1, frame["estimate"] + 1
    frame["rank"] = range(1, 6)
    frame["expected_rank"] = [1.2, 2.1, 3.0, 3.9, 4.8]
    frame["percentile"] = [90.0, 70.0, 50.0, 30.0, 10.0]
    for name in ("rank", "rank_set"):
        frame[f"{name}_low"], frame[f"{name}_high"] = [1, 1, 2, 3, 4], [2, 3, 4, 5, 5]
    frame["p_top"] = [0.9, 0.1, 0.0, 0.0, 0.0]
    frame["selected"] = ["best", "", "", "", "worst"]
    tables.write(frame, folder / "ranking.csv")
    (folder / "figures" / "caterpillar.svg").write_text(SVG, encoding="utf-8")


CONFIG = {
    "datasets": {"schools": {"explore": {"outcome": "gcse", "trend": None}, "time": None}},
    "models": {
        "good": {
            "dataset": "schools",
            "formula": "",
            "rank": {"by": {"at": {"lrt": 10}}, "best": "high"},
        },
        "stuck": {"dataset": "schools", "formula": "", "rank": None},
        "flat": {"dataset": "schools", "formula": "", "rank": {"by": "Intercept", "best": "low"}},
    },
    "comparisons": {"slope": {"null": "flat", "alternative": "stuck"}},
    "report": {"title": f"Report {HOSTILE}", "author": HOSTILE},
    "results": "results",
    "note": HOSTILE,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run") / "results"
    explore = root / "datasets" / "schools" / "explore"
    explore.mkdir(parents=True)
    (explore.parent / "data_card.json").write_text(json.dumps(_card()), encoding="utf-8")
    sizes = pd.DataFrame([_card()["cluster_sizes"]])
    tables.write(sizes, explore / "cluster_sizes.csv")
    # The last two are left from a configuration that had a time and a trend.
    left = ("trajectories", "residual_acf")
    for name in ("cluster_sizes", "examples", "cluster_lines", "intercepts_slopes", *left):
        (explore / f"{name}.svg").write_text(SVG, encoding="utf-8")
    models = root / "models"
    _write_model(models / "good", _fit("good"))
    _write_ranking(models / "good")
    stuck = _fit("stuck", converged=False, warnings=["not accepted as the optimum: " + HOSTILE])
    _write_model(models / "stuck", stuck)
    flat = _fit(
        "flat",
        singular=True,
        n_parameters=5,
        warnings=["singular fit: the variance of 'lrt' is estimated as 0"],
    )
    _write_model(models / "flat", flat)
    _write_ranking(models / "flat")
    compared = pd.DataFrame(
        [["slope", "flat", "stuck", 12.3, 2, 0.002, "half chi2(1), half chi2(2)", "reml",
          "not converged: x"]],
        columns=["comparison", "null", "alternative", "statistic", "df", "p_value", "distribution",
                 "method", "warning"],
    )  # fmt: skip
    tables.write(compared, root / "comparisons.csv")
    return root


@pytest.fixture(scope="module")
def html(results: Path) -> str:
    report.render(results, CONFIG, results / "report.html")
    return (results / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Elements in order with their attributes, and the text below each open one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_strangers_words_stay_text(html: str) -> None:
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "link")]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    text = "".join(page.words)
    assert text.count("<script>alert('x')</script>") > 10
    assert "<b>" not in text and "&lt;" not in text, "something was escaped twice"


def test_nothing_comes_from_outside(html: str) -> None:
    assert "http:" not in html and "https:" not in html and "//example" not in html
    for tag, attrs in Page(html).tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "models/")), (tag, value)
    assert "@import" not in html and "<?xml" not in html and "<!DOCTYPE svg" not in html


def test_ids_are_unique_and_references_resolve(html: str) -> None:
    tags = Page(html).tags
    ids = [attrs["id"] for _, attrs in tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    wanted = [value[1:] for _, a in tags for value in [a.get("href") or ""] if value[:1] == "#"]
    wanted += re.findall(r"url\(#([^)]+)\)", html)
    assert len(wanted) > 20
    assert set(wanted) <= set(ids)


def test_every_figure_has_a_name(html: str) -> None:
    figures = re.findall(r"<svg[^>]*>\s*(?:<title>[^<]+</title>)?", html)
    assert len(figures) == 4 + 3 * 8 + 2
    assert all("<title>" in one or "aria-label=" in one for one in figures)
    assert all('role="img"' in one for one in figures)


def test_figures_style_sheets_stay_inside(html: str) -> None:
    sheets = re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL)[1:]
    assert sheets
    assert all(sheet.startswith("#fig-") for sheet in sheets)


def test_text_that_looks_like_an_attribute_is_left_alone(html: str) -> None:
    assert 'id="m1" is no attribute here' in html


def test_a_figure_without_a_title_gets_the_captions() -> None:
    svg = pages.inline_svg("<svg viewBox='0 0 1 1'><g id='a'/></svg>", "fig-x", 'A "b" <c>')
    assert 'aria-label="A &#34;b&#34; &lt;c&gt;"' in svg
    assert 'id="fig-x-a"' in svg


def test_a_truncated_figure_is_an_error(results: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="complete"):
        pages.inline_svg(SVG[:400], "fig-x", "x")


@pytest.mark.parametrize(("model", "mark"), [("stuck", "not converged"), ("flat", "singular")])
def test_a_doubtful_model_is_marked_wherever_it_is_shown(html: str, model: str, mark: str) -> None:
    badge = rf'(<span class="mark">{mark}</span>|\({mark}\))'
    # Every mention that a reader sees, up to the end of its element, carries the mark.
    visible = re.sub(r'\b(id|href|aria-label)="[^"]*"|<pre.*?</pre>', "", html, flags=re.DOTALL)
    mentions = [m.end() for m in re.finditer(rf">{model}\b(?!\.csv| <| &lt;)", visible)]
    assert len(mentions) >= 5
    for at in mentions:
        assert re.search(badge, visible[at : at + 120]), visible[at - 120 : at + 120]
    article = html[html.index(f'id="model-{model}"') :]
    captions_ = re.findall(r"<figcaption>(.*?)</figcaption>", article[: article.index("</article")])
    # Four tables, the figures of the model and of its diagnostics.
    assert len(captions_) == 4 + len(FIGURES) + len(DIAGNOSTICS)
    assert all(re.search(badge, caption) for caption in captions_)


def test_the_first_screen_says_what_to_be_careful_about(html: str) -> None:
    careful = html[html.index("What to be careful about") : html.index("<nav")]
    for words in ("did not converge", "is singular", "synthetic", "3 of 45 rows", "missing values"):
        assert words in careful


def test_a_fit_that_is_not_the_optimum_has_no_findings(html: str) -> None:
    found = html[html.index("What was found") : html.index("What to be careful about")]
    sentence = found[found.index("<code>stuck") :]
    assert "no findings" in sentence[: sentence.index("</li>")]


def test_equations_number_coefficients_alike_on_both_levels(html: str) -> None:
    article = html[html.index('id="model-good"') :]
    blocks = re.findall(r"<math.*?</math>", article, re.DOTALL)[:5]
    plain = [re.sub(r"<[^>]+>", "", block) for block in blocks]
    assert plain[0].startswith("gcseij=b0j+b1jlrtij+β2type[")
    assert "+εij" in plain[0]
    assert plain[1] == "b0j=β0+u0jb1j=β1+u1j"
    assert plain[2].startswith("u0ju1j∼N(00,τ02τ01τ01τ12)")
    assert "69.8" in plain[3] and "−1.5" in plain[3]
    assert "−0.18" in plain[4]


def test_a_missing_artifact_is_one_line(results: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="artifact"):
        report.render(tmp_path, CONFIG, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_same_artifacts_give_the_same_page(results: Path, html: str) -> None:
    shuffled = {**CONFIG, "models": dict(reversed(CONFIG["models"].items()))}
    assert report.page(results, shuffled) == html


def test_data_card_page_stands_alone() -> None:
    text = cards.data_card_html(_card())
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert "http" not in text.replace("http-equiv", "")
    assert "ab" * 32 in text


def test_captions_of_the_workflow_are_those_of_the_report() -> None:
    folder = Path(__file__).resolve().parents[1] / "workflow" / "report"
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.rst")}
    assert found == captions.rst(), "run mixedflow.captions.write_rst('workflow/report')"
