"""The report in Chromium, as a reader has it: from a file, without a network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import limits
import pandas as pd
import pytest
import yaml
from report_run import CONFIG, HOSTILE, write_run

from mixedflow.config import reading
from mixedflow.report import page as report_page

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("default", "default model", "hostile", "hostile model", "hostile data")
PHONE, DESK = 390, 1440


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The default run's report, from its committed artifacts, and one full of strangers' words."""
    root = tmp_path_factory.mktemp("reports")
    write_run(root / "hostile")
    report_page.render(root / "hostile", CONFIG, root / "hostile" / "report.html")
    given = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config = json.loads(reading.load(given, origin="config.yaml").to_json())
    report_page.render(ROOT / "results", config, root / "default.html")
    hostile = root / "hostile" / "appendix"
    return {
        "default": root / "default.html",
        "default model": root / "appendix" / "model-school_value_added.html",
        "hostile": root / "hostile" / "report.html",
        "hostile model": hostile / "model-good.html",
        "hostile data": hostile / "data-schools.html",
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # A container has no user namespaces for the sandbox of a root user.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        args = [*sandbox, "--disable-dev-shm-usage"]
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield found
        found.close()


class Opened:
    """A page, with what it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, width: int, **context: Any) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, offline=True, **context
        )
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri())


@pytest.fixture
def opened(browser: Any, written: dict[str, Path]) -> Iterator[Any]:
    made: list[Opened] = []

    def open_page(name: str, width: int = DESK, **context: Any) -> Opened:
        made.append(Opened(browser, written[name], width, **context))
        return made[-1]

    yield open_page
    for one in made:
        one.context.close()


def test_the_default_report_is_small(written: dict[str, Path]) -> None:
    assert written["default"].stat().st_size < 5_000_000


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_it_opens_alone_and_fits_the_screen(opened: Any, name: str, width: int) -> None:
    found = opened(name, width)
    page = found.page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert found.said == []
    assert len(found.asked) == 1 and found.asked[0].startswith("file:")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_says_what_it_shows(opened: Any, name: str) -> None:
    page = opened(name).page
    without = page.evaluate(
        """() => [...document.querySelectorAll('img, [role=img], figure svg')].filter(one =>
             !(one.alt || one.getAttribute('aria-label')
               || one.querySelector(':scope > title')?.textContent.trim())).length"""
    )
    assert page.locator("figure svg").count() > 3 and without == 0


def first_column(page: Any, name: str) -> list[str]:
    rows = page.locator("[data-sortable]").first.locator("tbody tr:visible")
    heads = page.locator("[data-sortable]").first.locator("thead th").all_inner_texts()
    place = [head.strip().split("\n")[0].casefold() for head in heads].index(name)
    return [text.strip() for text in rows.locator(f"td:nth-child({place + 1})").all_inner_texts()]


def numbers(texts: list[str]) -> list[float]:
    return [float(t.replace("\u202f", "").replace("\N{MINUS SIGN}", "-")) for t in texts]


def test_the_ranking_sorts(opened: Any) -> None:
    page = opened("default").page
    head = page.locator("[data-sortable] thead th", has_text="estimate").first
    head.get_by_role("button").click()
    rising = numbers(first_column(page, "estimate"))
    assert head.get_attribute("aria-sort") == "ascending"
    assert len(rising) == 63 and rising == sorted(rising) and rising[0] < 0
    # From the keyboard, the other way.
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers(first_column(page, "estimate")) == rising[::-1]
    # Names that are numbers come in the order of numbers.
    page.locator("[data-sortable] thead th", has_text="cluster").first.get_by_role("button").click()
    assert first_column(page, "cluster")[:11] == [str(k) for k in range(1, 12)]


def test_the_ranking_is_searched(opened: Any) -> None:
    page = opened("hostile").page
    page.get_by_label("Find in this table").first.fill("RIGHT-TO-LEFT עברית")
    assert page.locator("[data-sortable]").first.locator("tbody tr:visible").count() == 1
    assert page.locator(".search output").first.inner_text() == "1 of 5"
    assert first_column(page, "rank") == ["1"]
    page.get_by_label("Find in this table").first.fill("")
    assert len(first_column(page, "cluster")) == 5


@pytest.mark.parametrize("how", ["hover", "tap", "keys"])
def test_a_point_of_the_ranking_is_named(opened: Any, how: str) -> None:
    phone = {"width": PHONE, "has_touch": True} if how == "tap" else {}
    page = opened("hostile model", **phone).page
    figure = page.locator("#good-caterpillar")
    told = figure.get_by_role("status")
    assert not told.is_visible()
    figure.scroll_into_view_if_needed()
    if how == "keys":
        figure.locator(".plot").focus()
        for key in ("Home", "ArrowRight", "ArrowLeft"):
            page.keyboard.press(key)
    else:
        mark = figure.locator("use[aria-hidden], g[id*=named] use").first.bounding_box()
        at = {"x": mark["x"] + mark["width"] / 2, "y": mark["y"] + mark["height"] / 2}
        page.touchscreen.tap(**at) if how == "tap" else page.mouse.move(**at)
    assert " ".join(told.text_content().split()) == f"School {' '.join(HOSTILE.split())}: 1.5"
    assert told.is_visible()
    box = told.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


def test_the_report_answers_within_its_limits(opened: Any) -> None:
    """Of the default run: what a reader has the patience for."""
    found = limits.measured(opened("default").page)
    assert found["first words"] <= 150 and found["first height"] <= 900
    assert found["words"] <= 2500
    assert found["height"] <= 9000, "ten screens"
    assert found["printed"] <= 15


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_names_in_the_ranking_can_be_read(opened: Any, width: int) -> None:
    page = opened("default", width).page
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('.order .chart .bar text')]
             .filter(text => text.getClientRects().length)
             .map(text => parseFloat(getComputedStyle(text).fontSize)
               * text.getScreenCTM().a)"""
    )
    assert len(sizes) == 63 and min(sizes) >= 11


def test_a_picked_cluster_says_what_it_can_be_told_from(opened: Any) -> None:
    page = opened("default").page
    told = page.locator(".picked")
    page.get_by_label("Pick a cluster").fill("59")
    assert "Rank 63" in told.inner_text() and "it is better than none and worse than" in (
        told.inner_text()
    )
    assert page.locator("tr.on td:nth-child(2)").all_inner_texts() == ["59"]
    page.locator(".order .columns .bar").first.locator("rect").click()
    pairs = pd.read_csv(ROOT / "results/models/school_value_added/ranking_pairs.csv", dtype=str)
    of = (pairs["first"] == "53") | (pairs["second"] == "53")
    apart = int((of & (pairs["separable"] == "all")).sum())
    assert f"it is better than {apart} (" in told.inner_text()
    assert page.locator("polyline.on").count() == 1


def test_what_a_place_means_is_one_click_away(opened: Any) -> None:
    page = opened("default").page
    folded = page.locator(".ranking details")
    folded.get_by_text("What a place means").click()
    told = folded.inner_text()
    assert "and why P(best 7) and the selection differ" in told
    assert "are more likely than not among the best 7, and not selected" in told
    assert "one by the slope in how GCSE score at age 16 goes with Reading test at intake" in told


def test_strangers_words_are_intact(opened: Any) -> None:
    page = opened("hostile").page
    names = page.locator("[data-sortable]").first.locator("tbody td").all_text_contents()
    assert HOSTILE in names and "=1+1" in names
    assert HOSTILE in page.locator("h1").text_content()
    assert page.title() == " ".join(f"Report {HOSTILE}".split())


def test_without_scripts_it_is_a_plain_table(opened: Any) -> None:
    page = opened("default", java_script_enabled=False).page
    assert page.locator("[data-sortable]").first.locator("tbody tr").count() == 63
    assert page.locator("[data-sortable] button, .search").count() == 0
    assert page.get_by_text("Of 63 clusters ranked by").first.is_visible()


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("default", DESK, "light"),
        ("default", DESK, "dark"),
        ("default model", DESK, "light"),
        ("hostile", PHONE, "light"),
        ("hostile model", PHONE, "light"),
    ],
)
def test_axe_finds_nothing(opened: Any, name: str, width: int, scheme: str) -> None:
    page = opened(name, width, color_scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    # A picture is one image to a reader: its thousands of strokes only take time.
    page.evaluate("document.querySelectorAll('figure svg > g').forEach(one => one.remove())")
    # Nor the seventh row of a table anything that six do not.
    page.evaluate("document.querySelectorAll('tr:nth-child(n + 7)').forEach(r => r.remove())")
    # Below a gradient, the shade at a table's edge, axe would not judge.
    page.add_style_tag(content=".scroll { background: none !important; }")
    # Only the colours are others in the dark.
    asked = {"runOnly": ["color-contrast"]} if scheme == "dark" else None
    found = axe.Axe().run(page, options=asked).response
    wrong = {
        rule["id"]: [node["html"][:200] for node in rule["nodes"][:3]]
        for rule in found["violations"]
    }
    assert wrong == {}
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}


def test_it_prints_what_is_folded(opened: Any) -> None:
    page = opened("default model").page
    folded = "document.querySelectorAll('details:not([open]):not(.raw)').length"
    assert page.evaluate(folded) > 0
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(folded) == 0
    page.emulate_media(media="print")
    assert not page.locator(".search").first.is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(folded) > 0
