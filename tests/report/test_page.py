"""The report: everything shown, nothing from outside, strangers' words as text only."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from parsed_page import Page
from report_run import CONFIG, DIAGNOSTICS, FIGURES, HOSTILE

from mixedflow.analysis import structures
from mixedflow.artifacts import stored, tables
from mixedflow.config import families, reading
from mixedflow.errors import SourceError
from mixedflow.report import page

ROOT = Path(__file__).resolve().parents[2]


def test_strangers_words_stay_text(pages: dict[str, str]) -> None:
    for html in pages.values():
        parsed = Page(html)
        assert not [tag for tag, _ in parsed.tags if tag in ("iframe", "object", "link", "base")]
        assert [tag for tag, _ in parsed.tags].count("script") == 1, "the page's own"
        assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]
        text = "".join(parsed.words)
        # As they were written, but for what HTML does to a line break.
        assert HOSTILE in text or "glossary" in text, text[:200]
        assert "<b>" not in text and "&lt;" not in text, "something was escaped twice"


def test_the_policy_allows_the_pages_own_script_alone(pages: dict[str, str]) -> None:
    for html in pages.values():
        script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
        assert script is not None
        digest = base64.b64encode(hashlib.sha256(script[1].encode("utf-8")).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in html
        assert "unsafe-eval" not in html and "script-src 'unsafe" not in html


def test_strangers_names_are_found_in_the_ranking(html: str) -> None:
    table = html[html.index('data-sortable="') :]
    words = "".join(Page(table[: table.index("</table>")]).words)
    assert HOSTILE in words and "=1+1" in words


def test_sentences_and_cautions_of_a_ranking_are_shown(pages: dict[str, str]) -> None:
    html = pages["appendix/model-good.html"]
    words = "".join(Page(html[html.index('id="ranking"') :]).words)
    assert f"A sentence {HOSTILE}" in words and f"A caution {HOSTILE}" in words


def test_ranks_in_a_sentence_are_whole_numbers(html: str) -> None:
    words = " ".join("".join(Page(html).words).split())
    assert words.count("has rank 1 to 2 (probability 95%)") >= 1 and not re.search(
        r"has rank \d+\.", words
    )


def test_the_first_screen_has_few_findings(html: str) -> None:
    top = html[html.index('class="headlines"') : html.index("<nav")]
    assert 1 <= top.count("<li>") <= 4
    words = "".join(Page(top).words)
    assert "Which school is above average, which below? Of 5, 1 is above average" in words


def test_nothing_comes_from_outside(pages: dict[str, str], results: Path) -> None:
    for place, html in pages.items():
        assert "http:" not in html and "https:" not in html and "//example" not in html
        for tag, attrs in Page(html).tags:
            for name in ("src", "href", "xlink:href", "action", "data"):
                value = attrs.get(name)
                if value is not None and not value.startswith("#"):
                    assert name == "href" and tag == "a", (tag, name, value)
                    beside = (results / place).parent / value.partition("#")[0]
                    assert beside.resolve().is_relative_to(results.resolve()), value
        assert "@import" not in html and "<?xml" not in html and "<!DOCTYPE svg" not in html


def followed(pages: dict[str, str]) -> tuple[set[tuple[str, str]], set[str]]:
    """The places of pages that are referred to, each of which is there, and the files beside."""
    ids: dict[str, set[str | None]] = {}
    wanted, files = set(), set()
    for place, html in pages.items():
        tags = Page(html).tags
        found = [attrs["id"] for _, attrs in tags if attrs.get("id")]
        assert len(found) == len(set(found)), place
        ids[place] = set(found)
        refer = [a.get("href") or "" for _, a in tags]
        refer += [f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", html)]
        for value in refer:
            path, _, anchor = value.partition("#")
            at = os.path.normpath(Path(place).parent / path) if path else place
            if at in pages:
                wanted.add((at, anchor))
            elif path and not path.startswith("data:"):  # what a picture holds itself
                files.add(at)
    assert [(at, a) for at, a in wanted if a and a not in ids[at]] == []
    assert {Path(at).suffix for at in files} == {".csv", ".tex"}
    # Every page is reached, and from the report by one link.
    linked = {
        os.path.normpath((a.get("href") or "").partition("#")[0])
        for _, a in Page(pages["report.html"]).tags
    }
    assert set(pages) - linked == {"report.html"}
    return wanted, files


def test_ids_are_unique_and_references_resolve(pages: dict[str, str]) -> None:
    wanted, _ = followed(pages)
    assert len(wanted) > 100


def test_every_link_of_the_default_run_resolves() -> None:
    given = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config = json.loads(reading.load(given, origin="config.yaml").to_json())
    wanted, files = followed(page.pages(ROOT / "results", config))
    assert len(wanted) > 500
    assert [at for at in files if not (ROOT / "results" / at).is_file()] == []


def test_every_figure_has_a_name(pages: dict[str, str]) -> None:
    behind = "".join(text for place, text in pages.items() if place != "report.html")
    figures = re.findall(r"<svg[^>]*>\s*(?:<title>[^<]+</title>)?", behind)
    assert len(figures) == 4 + 3 * 8 + 2
    figures += re.findall(r"<svg[^>]*>\s*(?:<title>[^<]+</title>)?", pages["report.html"])
    assert all("<title>" in one or "aria-label=" in one for one in figures)
    assert all('role="img"' in one for one in figures)


@pytest.mark.parametrize(("model", "mark"), [("stuck", "not converged"), ("flat", "singular")])
def test_a_doubtful_model_is_marked_wherever_it_is_shown(
    pages: dict[str, str], model: str, mark: str
) -> None:
    html = "".join(pages.values())
    badge = rf'(<span class="mark">{mark}</span>|\({mark}\))'
    # Every mention that a reader sees, up to the end of its element, carries the mark.
    visible = re.sub(r'\b(id|href|aria-label)="[^"]*"|<pre.*?</pre>', "", html, flags=re.DOTALL)
    mentions = [m.end() for m in re.finditer(rf">{model}\b(?!\.csv| <| &lt;)", visible)]
    assert len(mentions) >= 5
    for at in mentions:
        assert re.search(badge, visible[at : at + 120]), visible[at - 120 : at + 120]
    captions_ = re.findall(r"<figcaption>(.*?)</figcaption>", pages[f"appendix/model-{model}.html"])
    # Five tables, the figures of the model and of its diagnostics; of a ranking two more.
    ranked = 2 if CONFIG["models"][model]["rank"] else 0
    assert len(captions_) == 5 + len(FIGURES) + len(DIAGNOSTICS) + ranked
    assert all(re.search(badge, caption) for caption in captions_)


def test_the_report_says_what_to_be_careful_about(html: str) -> None:
    top = html[: html.index("<nav")]
    assert re.search(r'<a href="#cautions">\d+ cautions</a>', top)
    careful = html[html.index("What to be careful about") :]
    for words in ("did not converge", "is singular", "synthetic", "3 of 45 rows", "missing values"):
        assert words in careful


def test_a_fit_that_is_not_the_optimum_has_no_findings(html: str) -> None:
    found = re.findall(r'<ul class="answers">(.*?)</ul>', html, re.DOTALL)
    # The question is asked of both; the fit that is no optimum answers nothing.
    assert "Not answered: not converged: x." in "".join(Page("".join(found)).words)


def test_equations_number_coefficients_alike_on_both_levels(pages: dict[str, str]) -> None:
    article = pages["appendix/model-good.html"]
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
        page.render(tmp_path, CONFIG, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_cautions_of_a_familys_members_are_on_the_page(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "families" / "f"
    shutil.copytree(results, tmp_path / "results")
    folder.mkdir(parents=True)
    (folder / "family.svg").write_text("<svg></svg>", "utf-8")
    rows = {name: ["", ""] for name in families.COLUMNS if name not in families.APART}
    rows |= {"member": ["a", "<b>"], "converged": ["yes", "yes"], "caution": ["", "Bend <i>y</i>."]}
    tables.write(pd.DataFrame(rows), folder / "family.csv")
    spec = {
        "name": "f",
        "title": "F",
        "formula": "y ~ x + (1 | g)",
        "method": "reml",
        "df": "normal",
    }
    config = {**CONFIG, "families": {"f": {**spec, "adjust": "holm", "columns": []}}}
    made = page.pages(tmp_path / "results", config)
    html = made["report.html"] + made["appendix/families.html"]
    assert "<bdi>&lt;b&gt;</bdi>: <bdi>Bend &lt;i&gt;y&lt;/i&gt;.</bdi>" in html
    assert "1 of 2 members have cautions, told below their table" in html


def test_structures_are_on_the_page_with_what_speaks_against_them(
    results: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "results")
    folder = tmp_path / "results" / "structures" / "s"
    folder.mkdir(parents=True)
    (folder / "structures_course.svg").write_text("<svg></svg>", "utf-8")
    texts = ("description", "against", "distribution", "effect", "singular", "caution", "failure")
    rows: dict[str, list[Any]] = {name: [np.nan] * 3 for name in structures.COLUMNS}
    rows |= {name: [""] * 3 for name in texts}
    rows |= {
        "structure": ["flat", "flat2", "lost"],
        "converged": ["yes", "yes", ""],
        "singular": ["no", "yes", ""],
        "aic": [510.25, 520.5, np.nan],
        "bic": [515.25, 530.5, np.nan],
        "caution": ["", "Bend <i>y</i>.", ""],
        "failure": ["", "", "<b>no</b> column"],
    }
    tables.write(pd.DataFrame(rows), folder / "structures.csv")
    spec = {"name": "s", "title": "S", "formula": "y ~ <x>", "method": "ml", "effect": None}
    fits = [{"name": name} for name in rows["structure"]]
    config = {**CONFIG, "structures": {"s": {**spec, "time": "t", "fits": fits}}}
    made = page.pages(tmp_path / "results", config)
    html, section = made["report.html"], made["appendix/structures.html"]
    assert "<code>flat</code> has the lowest AIC (510.2, 10.2 below" in html
    assert "<code>flat</code> has the lowest AIC (510.2, 10.2 below" in section
    assert "<code>y ~ &lt;x&gt;</code>, ML" in section and "<svg" in section
    assert "<code>flat2</code>: <bdi>Bend &lt;i&gt;y&lt;/i&gt;.</bdi>" in section
    assert "could not be fitted: <bdi>&lt;b&gt;no&lt;/b&gt; column</bdi>" in section
    assert "1 of 3 structures could not be fitted (<bdi>lost</bdi>)" in html
    assert "1 of 3 structures are singular (<bdi>flat2</bdi>)" in html


def test_the_same_artifacts_give_the_same_pages(results: Path, pages: dict[str, str]) -> None:
    shuffled = {**CONFIG, "models": dict(reversed(CONFIG["models"].items()))}
    assert page.pages(results, shuffled) == pages


def test_where_models_and_gee_agree(pages: dict[str, str]) -> None:
    words = " ".join("".join(Page(pages["appendix/model-good.html"]).words).split())
    assert words.count("Where mixed model, marginal model and GEE agree") == 1
    assert "model are one and the same here: any two rows of a cluster correlate by 0.3" in words
    assert "GEE independence differs: its estimates are up to 0.5" in words
    assert "a factor of 2.00, its robust ones of 1.09" in words


def test_copies_for_other_programs_are_linked_where_they_are_made(
    results: Path, tmp_path: Path
) -> None:
    for made, linked in (({}, []), ({"xlsx": True}, ["tables.xlsx"])):
        page.render(results, CONFIG | {"report": made}, tmp_path / "report.html")
        html = (tmp_path / "report.html").read_text("utf-8")
        assert re.findall(r'href="([^"]+\.(?:docx|xlsx))"', html) == linked


def test_a_ranking_says_why_its_columns_differ(results: Path, tmp_path: Path) -> None:
    """The second is in the best place with 0.6 and not selected; the others are as they should."""
    shutil.copytree(results, tmp_path / "results")
    folder = tmp_path / "results" / "models" / "good"
    ranks = stored.read(folder / "ranking.csv")
    ranks["p_top"], ranks["p_bottom"] = [0.4, 0.6, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]
    ranks["selected"] = ["", "", "", "", "worst"]
    tables.write(ranks, folder / "ranking.csv")
    told = json.loads((folder / "ranking.json").read_text("utf-8"))
    for top in ({}, {"top": 1, "share": 0.2}):
        (folder / "ranking.json").write_text(json.dumps(told | top), "utf-8")
        html = page.pages(tmp_path / "results", CONFIG)["report.html"]
        words = " ".join("".join(Page(html).words).split())
        assert ("why P(best 1) and the selection differ" in words) == bool(top)
        said = "\u2068=1+1\u2069 (0.60) is more likely than not among the best 1, and not selected."
        assert (said in words) == bool(top)
