"""Does an artifact name a cluster that disclosure control withholds?

Told from the prepared rows themselves, not from what was said when the artifacts were made.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from mixedflow.analysis.levels import Levels
from mixedflow.config.specs import DatasetSpec
from mixedflow.data import disclosure
from mixedflow.data.disclosure import Rule
from mixedflow.data.prepared import read_parquet
from mixedflow.jobs.integrity import Finding
from mixedflow.language import formula

_NAMING = ("cluster", "first", "second", "worst")  # columns of tables without a column of factors
_HOVER = re.compile(r"<title>([^<]*?): ")
_ISOLATED = re.compile("\N{FIRST STRONG ISOLATE}(.*?)\N{POP DIRECTIONAL ISOLATE}")  # in a sentence

Names = dict[str, frozenset[str]]  # withheld, by grouping factor


def findings(plan: Mapping[str, Any], place: str, folder: Path) -> Iterator[Finding]:
    """Artifacts in ``folder`` / ``place`` that name clusters withheld by ``plan``'s data sets."""
    configs = [task.get("config") or {} for task in plan["jobs"].values()]
    specs = {c["dataset"]["name"]: c["dataset"] for c in configs if c.get("dataset")}
    models = {c["model"]["name"]: c["model"] for c in configs if c.get("model")}
    if not any(values.get("suppress") for values in specs.values()):
        return
    every: set[str] = set()
    others: set[str] = set()  # the same names may be those of another data set's clusters
    for name, values in specs.items():
        spec, own = DatasetSpec.of(values), folder / place / "datasets" / name
        rule = Rule.of(spec)
        if not (own / "data.parquet").is_file():
            continue
        frame = read_parquet(own / "data.parquet")
        clusters = {spec.cluster: disclosure.names_of(frame, rule)}
        others |= {*frame[spec.cluster].astype(str)} - clusters[spec.cluster]
        if rule is None:
            continue
        every |= clusters[spec.cluster]
        yield from _in(own, clusters, spec.cluster, folder)
        yield from _behind(folder / place, f"data-{name}", clusters[spec.cluster], folder)
        for model in models.values():
            if model["dataset"] != name:
                continue
            groups = formula.parse(model["formula"]).groups
            factors = Levels.of(frame, [group.columns for group in groups]).factors
            hidden = disclosure.withheld(factors, rule, frame)
            names = clusters | {
                one.name: frozenset(map(str, one.labels[mask]))
                for one, mask in zip(factors, hidden, strict=True)
            }
            first = groups[0].name if groups else spec.cluster
            ranked = (model.get("rank") or {}).get("group") or first
            yield from _in(folder / place / "models" / model["name"], names, ranked, folder)
            of_page = names.get(ranked, frozenset())
            yield from _behind(folder / place, f"model-{model['name']}", of_page, folder)
    page = folder / place / "report.html"
    if every and page.is_file() and (named := _of_page(page, every - others)):
        yield _finding(page, folder, named)


def _behind(place: Path, name: str, hidden: Collection[str], folder: Path) -> Iterator[Finding]:
    """The appendix's page of a data set or a model."""
    page = place / "appendix" / f"{name}.html"
    if page.is_file() and (named := _of_page(page, hidden)):
        yield _finding(page, folder, named)


def _in(own: Path, names: Names, usual: str, folder: Path) -> Iterator[Finding]:
    for path in sorted(own.rglob("*")):
        look = _LOOK.get(path.suffix)
        if look and path.is_file() and (named := look(path, names, usual)):
            yield _finding(path, folder, named)


def _finding(path: Path, folder: Path, named: Collection[str]) -> Finding:
    what = f"names {len(named)} of the clusters that suppress withholds"
    return Finding(path.relative_to(folder).as_posix(), what)


def _table(path: Path, names: Names, usual: str) -> set[str]:
    found = set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of = names.get(row.get("group") or usual, frozenset())
            found |= {row[key] for key in _NAMING if row.get(key) in of}
            for factor, hidden in names.items():
                if row.get(f"cluster_{factor}") in hidden:
                    found.add(row[f"cluster_{factor}"])
    return found


def _arrays(path: Path, names: Names, usual: str) -> set[str]:
    with np.load(path, allow_pickle=False) as stored:
        if "groups" not in stored:
            return set()
        found: set[str] = set()
        for g, factor in enumerate(stored["groups"]):
            found |= names.get(str(factor), frozenset()) & {*map(str, stored[f"{g}/clusters"])}
    return found


def _hover(path: Path, names: Names, usual: str) -> set[str]:
    told = {unescape(name) for name in _HOVER.findall(path.read_text(encoding="utf-8"))}
    return told & names.get(usual, frozenset())


def _verdict(path: Path, names: Names, usual: str) -> set[str]:
    said = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        return set()
    told = {*map(str, said.get("highlight") or [])}
    for listed in (said.get("funnel") or {}).values():
        told |= {*map(str, listed)} if isinstance(listed, list) else set()
    for key in ("sentences", "cautions"):
        told |= {name for text in said.get(key) or [] for name in _ISOLATED.findall(text)}
    return told & names.get(usual, frozenset())


def _page(path: Path, names: Names, usual: str) -> set[str]:
    return _of_page(path, names.get(usual, frozenset()))


def _of_page(path: Path, hidden: Collection[str]) -> set[str]:
    page = _Names()
    page.feed(path.read_text(encoding="utf-8"))
    return page.named & set(hidden)


_LOOK = {".csv": _table, ".npz": _arrays, ".svg": _hover, ".json": _verdict, ".html": _page}


class _Names(HTMLParser):
    """``named``: what a page has where clusters are named.

    That is in columns of tables, hover titles, labels of bars, sentences and what its script knows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.named: set[str] = set()
        self._bar = False
        self._set_apart: list[str] | None = None  # in a sentence, as strangers' words are
        self._header: list[str] = []
        self._row: list[str] = []
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if known := given.get("data-known"):
            self.named |= {one["name"] for one in json.loads(known)["clusters"]}
        if tag == "table":
            self._header = []
        elif tag == "tr":
            self._row = []
        elif tag == "g":
            self._bar = "data-k" in given
        elif tag == "bdi":
            self._set_apart = []
        elif tag in ("th", "td", "title") or (tag == "text" and self._bar):
            self._text = []

    def handle_data(self, data: str) -> None:
        self.named |= {*_ISOLATED.findall(data)}
        for part in (self._text, self._set_apart):
            if part is not None:
                part.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self._text is not None:
            self.named.add("".join(self._text).partition(":")[0])
            self._text = None
        elif tag == "text" and self._text is not None:
            self.named.add("".join(self._text))
            self._text = None
        elif tag == "bdi" and self._set_apart is not None:
            self.named.add("".join(self._set_apart))
            self._set_apart = None
        elif tag == "g":
            self._bar = False
        elif tag in ("th", "td") and self._text is not None:
            self._row.append("".join(self._text).strip())
            self._text = None
        elif tag == "tr" and not self._header:
            self._header = [name.lower() for name in self._row]
        elif tag == "tr":
            cells = zip(self._header, self._row, strict=False)
            self.named |= {cell for name, cell in cells if name in _NAMING}
