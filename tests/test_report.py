"""The report: everything shown, nothing from outside, strangers' words as text only."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mixedflow import captions, cards, findings, pages, report
from mixedflow.errors import SourceError
from report_run import CONFIG, DIAGNOSTICS, FIGURES, HOSTILE, SVG, hostile_card, write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run") / "results"
    write_run(root)
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
    assert not [tag for tag, _ in page.tags if tag in ("iframe", "object", "link")]
    assert [tag for tag, _ in page.tags].count("script") == 1, "the page's own"
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    text = "".join(page.words)
    # As they were written, but for what HTML does to a line break.
    assert text.count(HOSTILE) > 10
    assert text.count("<script>alert('x')</script>") > 10
    assert "<b>" not in text and "&lt;" not in text, "something was escaped twice"


def test_the_policy_allows_the_pages_own_script_alone(html: str) -> None:
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode("utf-8")).digest()).decode("ascii")
    assert f"script-src 'sha256-{digest}'" in html
    assert "unsafe-eval" not in html and "script-src 'unsafe" not in html


def test_strangers_names_are_found_in_the_ranking(html: str) -> None:
    table = html[html.index('data-sortable="') :]
    words = "".join(Page(table[: table.index("</table>")]).words)
    assert HOSTILE in words and "=1+1" in words


def test_sentences_and_cautions_of_a_ranking_are_shown(html: str) -> None:
    words = "".join(Page(html[html.index('id="ranking-good"') :]).words)
    assert f"A sentence {HOSTILE}" in words and f"A caution {HOSTILE}" in words


def test_ranks_in_a_sentence_are_whole_numbers(html: str) -> None:
    words = " ".join("".join(Page(html).words).split())
    told = "has rank 1 to 2 with posterior probability 95%, and 1 to 2 in the simultaneous"
    assert words.count(told) >= 1 and not re.search(r"has rank \d+\.", words)


def _row(null: str, alternative: str, p: float) -> dict[str, object]:
    return {"null": null, "alternative": alternative, "p_value": p}


def _found(name: str, parameters: int, **changes: object) -> dict[str, object]:
    fit = {"model": name, "n_parameters": parameters, "converged": True, "singular": False}
    return {**fit, **changes}


@pytest.mark.parametrize(
    ("rows", "changes", "chosen"),
    [
        ([], {}, "c"),
        ([], {"c": {"singular": True}}, "b"),
        ([], {"c": {"converged": False}}, "b"),
        # Against c speaks its own comparison; for b, that it beats a.
        ([_row("a", "b", 0.001), _row("b", "c", 0.3)], {}, "b"),
        ([_row("a", "b", 0.001), _row("b", "c", 0.01)], {}, "c"),
        ([_row("a", "c", 0.4)], {}, "b"),
        ([], {name: {"converged": False} for name in "abc"}, None),
    ],
)
def test_the_headline_is_the_model_that_comparisons_support(
    rows: list[dict[str, object]], changes: dict[str, dict[str, object]], chosen: str | None
) -> None:
    fits = [_found(name, k, **changes.get(name, {})) for k, name in enumerate("abc", start=3)]
    fit, evidence = findings.supported(fits, rows)
    assert (fit["model"] if fit else None) == chosen
    assert evidence is None or evidence["alternative"] == chosen


def test_the_first_screen_has_few_findings(html: str) -> None:
    top = html[html.index('class="headlines"') : html.index("What to be careful about")]
    assert 1 <= top.count("<li>") <= 4
    assert "of 5 clusters ranked" in top.casefold()


def test_nothing_comes_from_outside(html: str) -> None:
    assert "http:" not in html and "https:" not in html and "//example" not in html
    for tag, attrs in Page(html).tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(
                ("#", "models/", "datasets/", "comparisons.")
            ), (tag, value)
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
    # Five tables, the figures of the model and of its diagnostics.
    assert len(captions_) == 5 + len(FIGURES) + len(DIAGNOSTICS)
    assert all(re.search(badge, caption) for caption in captions_)


def test_the_first_screen_says_what_to_be_careful_about(html: str) -> None:
    careful = html[html.index("What to be careful about") : html.index("<nav")]
    for words in ("did not converge", "is singular", "synthetic", "3 of 45 rows", "missing values"):
        assert words in careful


def test_a_fit_that_is_not_the_optimum_has_no_findings(html: str) -> None:
    found = re.search(r'class="headlines".*?<ul>(.*?)</ul>', html, re.DOTALL)
    assert found is not None
    assert "good" in found[1] and "stuck" not in found[1]


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
    text = cards.data_card_html(hostile_card())
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert "http" not in text.replace("http-equiv", "")
    assert "ab" * 32 in text


def test_captions_of_the_workflow_are_those_of_the_report() -> None:
    folder = Path(__file__).resolve().parents[1] / "workflow" / "report"
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.rst")}
    assert found == captions.rst(), "run mixedflow.captions.write_rst('workflow/report')"
