"""``mixedflow init``: a Snakefile and a commented config.yaml for a data file of one's own."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml

from mixedflow.cli import check
from mixedflow.config import reading
from mixedflow.config.specs import SourceSpec
from mixedflow.data.card import MOST_LEVELS
from mixedflow.data.formats import FORMATS
from mixedflow.data.raw import RawData, code_text, label_of
from mixedflow.data.sources import read_source
from mixedflow.errors import ConfigError, DataError, nearest, quote

if TYPE_CHECKING:
    from mixedflow.data.prepared import Prepared


SNAKEFILE = """\
# Loads the installed mixedflow as a module; what it does is in config.yaml.
from mixedflow.cli import workflow_file


configfile: "config.yaml"


module mixedflow:
    snakefile:
        workflow_file("Snakefile")
    config:
        config


use rule * from mixedflow
"""

_MOST_LABELLED = 10  # a number with more labelled codes is a scale rather than a category
_MOST_COLUMNS = 40  # columns of the file that the comment lists
_WIDTH = 99


@dataclass(frozen=True)
class Roles:
    """The columns that an analysis starts with, as the file names them."""

    outcome: str
    cluster: str
    time: str | None = None
    predictor: str | None = None

    def options(self) -> dict[str, str]:
        given = {
            "--outcome": self.outcome,
            "--cluster": self.cluster,
            "--time": self.time,
            "--predictor": self.predictor,
        }
        return {option: name for option, name in given.items() if name is not None}


def init(file: Path, roles: Roles, folder: Path) -> list[Path]:
    """Write config.yaml and Snakefile for ``file`` into ``folder``; return their paths.

    The configuration is checked against the data before anything is written.

    Raises
    ------
    ConfigError
        One of the two files is there already, an unknown column, a column with two roles.
    SourceError, DataError, FormulaError, ModelError
        The file cannot be read, or a column cannot have its role.
    """
    paths = [folder / "config.yaml", folder / "Snakefile"]
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(
                str(path), "is there already", "nothing was written; choose another --folder"
            )
    base = Path(os.path.realpath(folder))
    inside = Path(os.path.realpath(file.parent)) / file.name
    source = SourceSpec(str(file), None, None, None, 1)
    raw = read_source(source, Path(), Path(), "mixedflow init")
    text = _Starter(raw, roles, Path(os.path.relpath(inside, base)).as_posix(), file.stem).text()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for path, content in zip(paths, (text, SNAKEFILE), strict=True):
            with path.open("x", encoding="utf-8") as stream:
                written.append(path)
                stream.write(content)
    except OSError:
        for path in written:
            path.unlink()
        raise
    return written


class _Starter:
    """The configuration of one file and its columns' roles."""

    def __init__(self, raw: RawData, roles: Roles, path: str, stem: str) -> None:
        self.raw, self.path = raw, path
        self.frame = raw.frame
        self.check_roles(roles)
        self.taken = {str(name) for name in raw.frame.columns}
        # A formula cannot name a column whose name holds a backquote or a new line.
        self.renamed = {
            name: self.new_name(name, "")
            for name in roles.options().values()
            if re.search(r"[`\n]", name) or not name.strip()
        }
        self.old = {new: name for name, new in self.renamed.items()}
        self.outcome, self.cluster = self.now(roles.outcome), self.now(roles.cluster)
        self.time = self.now(roles.time) if roles.time else None
        self.predictor = self.now(roles.predictor) if roles.predictor else None
        self.name = slug(stem, "data")
        self.title = " ".join((raw.file_label.strip() or stem).split()) or self.name
        self.codes = self.category(roles.predictor) if roles.predictor else None
        self.centred = self.since = None
        self.predictor_within = self.predictor is not None and self.varies(self.predictor)
        if self.predictor and self.codes is None:
            self.centred = self.new_name(self.predictor, "_c")
        if self.time:
            self.since = self.new_name(self.time, "_0")
        self.clusters = int(raw.frame[roles.cluster].nunique())
        self.slope = self.random_slope()

    # What the file says

    def check_roles(self, roles: Roles) -> None:
        columns = [str(name) for name in self.frame.columns]
        first: dict[str, str] = {}
        for option, name in roles.options().items():
            if name not in columns:
                what = f"no column {quote(name)} in {quote(self.raw.description)}"
                raise ConfigError(option, what, nearest(name, columns, "columns"))
            other = first.setdefault(name, option)
            if other != option:
                raise ConfigError(option, f"{quote(name)} is the column of {other} already")
            if option in ("--outcome", "--time"):
                self.require_numbers(option, name)

    def require_numbers(self, option: str, name: str) -> None:
        values = self.frame[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            if values.isna().all():
                raise DataError(option, f"{quote(name)} is missing in every row")
            return
        numbers = [
            str(other)
            for other in self.frame.columns
            if pd.api.types.is_numeric_dtype(self.frame[other].dtype)
        ]
        row = int(pd.to_numeric(values.where(values.notna(), "0"), errors="coerce").isna().argmax())
        what = f"{quote(name)} is not numeric ({quote(values.iloc[row])} in row {row + 1})"
        raise DataError(option, what, nearest(name, numbers, "numeric columns"))

    def category(self, name: str) -> list[str] | None:
        """Levels of a predictor that is no number: labels in the order of codes; else None."""
        present = self.frame[name].dropna().unique().tolist()
        if not pd.api.types.is_numeric_dtype(self.frame[name].dtype):
            if len(present) > MOST_LEVELS:
                self.require_numbers("--predictor", name)
            return sorted(map(str, present))
        labels = self.raw.value_labels.get(name, {})
        shown = [label_of(labels, code) for code in sorted(present)]
        found = [label for label in shown if label is not None and label.strip()]
        if len(found) < len(present) or not 1 < len(set(found)) == len(found) <= _MOST_LABELLED:
            return None
        return found

    def varies(self, name: str) -> bool:
        """Does a column vary within some cluster? That makes it one of level 1."""
        groups = self.frame.groupby(self.was(self.cluster))[self.was(name)]
        return bool((groups.nunique() > 1).any())

    def random_slope(self) -> str | None:
        """What the second model's slope is on: the predictor, the time, or nothing."""
        used = [self.was(name) for name in (self.outcome, self.predictor, self.time) if name]
        if 2 * self.clusters >= len(self.frame[used].dropna()):
            return None  # more random effects than rows
        if self.centred and self.predictor_within:
            return self.centred
        return self.since if self.time and self.varies(self.time) else None

    # Names

    def now(self, name: str) -> str:
        return self.renamed.get(name, name)

    def was(self, name: str) -> str:
        return self.old.get(name, name)

    def new_name(self, name: str, ending: str) -> str:
        stem = slug(name, "x") + ending
        found, number = stem, 2
        while found in self.taken or iskeyword(found):
            found, number = f"{stem}{number}", number + 1
        self.taken.add(found)
        return found

    # What is written

    def text(self) -> str:
        """config.yaml, checked: against the data too, whose counts it states."""
        draft = "\n".join(self.lines(None)) + "\n"
        prepared = self.checked(draft)
        return "\n".join(self.lines(prepared)) + "\n"

    def checked(self, draft: str) -> Prepared:
        settings = reading.load(yaml.safe_load(draft))
        data = check.Data.of(settings.datasets[self.name], self.raw)
        for model in settings.models.values():
            check.model(model, data)
        return data.prepared

    def lines(self, prepared: Prepared | None) -> Iterator[str]:
        yield "# An analysis by mixedflow. After a change: mixedflow check, snakemake --cores all."
        yield "# Paths start in this folder; docs/config.md of mixedflow explains every key."
        yield "#"
        yield from self.columns()
        yield ""
        yield "datasets:"
        yield f"  {scalar(self.name)}:"
        yield f"    title: {scalar(self.title)}"
        *suffixes, last = FORMATS
        yield f"    # {', '.join(suffixes)} or {last}."
        yield f"    source: {{file: {scalar(self.path, flow=True)}}}"
        if self.renamed:
            yield "    # Names that a formula cannot write, and their new ones."
            yield "    rename:"
            yield from (f"      {scalar(old)}: {scalar(new)}" for old, new in self.renamed.items())
        yield "    # The level-2 unit: rows of one cluster are alike."
        yield f"    cluster: {scalar(self.cluster)}"
        if self.time:
            yield "    # Orders the rows of a cluster."
            yield f"    time: {scalar(self.time)}"
        yield from self.derive()
        if self.codes:
            yield "    # Categories in order, the first is the reference. Without this block codes"
            yield "    # are numbers, and texts are in alphabetical order."
            yield "    levels:"
            listed = ", ".join(scalar(level, flow=True) for level in self.codes)
            yield f"      {scalar(str(self.predictor))}: [{listed}]"
        yield from self.labels()
        yield "    # Counts that must hold: a file that has changed stops the run."
        if prepared is not None:
            card = prepared.card
            counts = ", ".join(f"{key}: {card[key]}" for key in ("rows_read", "rows", "clusters"))
            yield f"    expect: {{{counts}}}"
        yield from self.explore()
        yield ""
        yield from self.models()
        yield ""
        yield "# The heading of results/report.html."
        yield f"report: {{title: {scalar(self.title, flow=True)}}}"
        yield ""
        yield "# The folder of all results, inside this one."
        yield "results: results"

    def columns(self) -> Iterator[str]:
        """The file's columns as comments, so that others can be taken up by name."""
        described = list(self.described())
        yield f"# Columns of the file ({len(self.frame)} rows):"
        for line in described[:_MOST_COLUMNS]:
            yield line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
        if len(described) > _MOST_COLUMNS:
            yield f"#   and {len(described) - _MOST_COLUMNS} more"

    def described(self) -> Iterator[str]:
        for column in self.frame.columns:
            name, values = str(column), self.frame[column]
            numeric = pd.api.types.is_numeric_dtype(values.dtype)
            facts = ["number" if numeric else "text"]
            labels = self.raw.value_labels.get(name, {})
            if labels:
                pairs = (f"{code_text(code)} {label}" for code, label in list(labels.items())[:4])
                facts.append(", ".join(pairs) + (", ..." if len(labels) > 4 else ""))
            if missing := int(values.isna().sum()):
                facts.append(f"{missing} missing")
            label = self.raw.variable_labels.get(name, "").strip()
            yield one_line(f"#   {name} ({'; '.join(facts)})" + (f": {label}" if label else ""))

    def derive(self) -> Iterator[str]:
        if not self.centred and not self.since:
            return
        yield "    # New columns from expressions."
        yield "    derive:"
        if self.centred:
            x = backquoted(str(self.predictor))
            yield "      # Centred at the mean of all rows: the intercept is the level there."
            yield f"      {self.centred}: {scalar(f'{x} - mean({x})')}"
            if self.predictor_within:
                g = backquoted(self.cluster)
                within = scalar(f"{x} - mean({x}, by={g})")
                yield "      # It varies within clusters, so that its coefficient mixes differences"
                yield "      # within and between them. For those within alone, centre it at each"
                yield "      # cluster's mean instead:"
                yield f"      # {self.centred}: {within}"
        if self.since:
            t = backquoted(str(self.time))
            yield "      # Time since the first occasion: the intercept is the level there."
            yield f"      {self.since}: {scalar(f'{t} - min({t})')}"

    def labels(self) -> Iterator[str]:
        found = self.raw.variable_labels
        labels = {}
        for name in (self.outcome, self.cluster, self.time, self.predictor):
            # A column that is renamed keeps its old name to be read.
            label = name and (found.get(self.was(name), "").strip() or self.old.get(name, ""))
            if name and label and label.strip():
                labels[name] = " ".join(label.split())
        for name, new, how in (
            (self.predictor, self.centred, "centred"),
            (self.time, self.since, "since the first"),
        ):
            if name and new:
                labels[new] = f"{labels.get(name, name)} ({how})"
        if labels:
            yield "    # What figures and tables call the columns; add units."
            yield "    labels:"
            yield from (f"      {scalar(name)}: {scalar(label)}" for name, label in labels.items())

    def explore(self) -> Iterator[str]:
        axis = self.predictor if self.codes is None and self.predictor else self.time
        if axis is None:
            yield "    # With a numeric predictor: explore: {outcome: ..., predictor: ...}"
            return
        yield "    # Pictures before any model; smaller clusters get no line of their own."
        yield "    explore:"
        yield f"      outcome: {scalar(self.outcome)}"
        yield f"      predictor: {scalar(axis)}"
        sizes = self.frame[self.was(self.cluster)].value_counts()
        least = int(min(5, max(2, sizes.median())))
        yield f"      min_cluster_size: {least}"

    def models(self) -> Iterator[str]:
        y, g = backquoted(self.outcome), backquoted(self.cluster)
        predictor = self.centred or (backquoted(self.predictor) if self.predictor else None)
        fixed = " + ".join(term for term in (predictor, self.since) if term) or "1"
        rank = [
            "    # Clusters in order of their intercepts; best: low if low values are good.",
            "    rank: {by: Intercept, best: high}",
        ]
        if self.clusters < check.FEWEST_RANKED:
            rank = ["    # Two clusters are too few to be ranked."]
        yield "models:"
        yield "  # Each cluster has its own level."
        yield "  random_intercept:"
        yield "    title: Random intercept"
        yield f"    dataset: {scalar(self.name)}"
        yield f"    formula: {scalar(f'{y} ~ {fixed} + (1 | {g})')}"
        yield "    method: reml                # ml for tests of fixed effects"
        if not self.slope:
            yield from rank
            yield ""
            yield "# A random slope, (1 + x | cluster), needs a number that varies within clusters,"
            yield "# and more than two rows a cluster; a comparison tests whether slopes differ."
            yield "comparisons: {}"
            return
        yield ""
        yield f"  # Its own slope on {self.slope} too; || leaves out their correlation."
        yield "  random_slope:"
        yield "    title: Random intercept and slope"
        yield f"    dataset: {scalar(self.name)}"
        yield f"    formula: {scalar(f'{y} ~ {fixed} + (1 + {self.slope} | {g})')}"
        yield "    method: reml"
        yield from rank
        yield ""
        yield "# Likelihood-ratio tests: do the slopes differ between clusters?"
        yield "comparisons:"
        yield "  do_slopes_differ: {null: random_intercept, alternative: random_slope}"


def slug(text: str, default: str) -> str:
    """A legal name of letters, digits and underscores, as near to ``text`` as may be."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Za-z0-9]+", "_", ascii_only)[:40].strip("_")
    if found and not found[0].isalpha():
        found = f"{default}_{found}"
    return found or default


def backquoted(name: str) -> str:
    """A column as formulas and expressions write it."""
    if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and not iskeyword(name):
        return name
    return f"`{name}`"


def scalar(text: str, flow: bool = False) -> str:
    """A text as a YAML scalar on one line, quoted where YAML would see something else in it."""
    plain = r"[A-Za-z][\w .()+*|~/=-]*" if not flow else r"[A-Za-z][\w ./-]*"
    if re.fullmatch(plain, text, re.ASCII) and yaml.safe_load(f"[{text}]" if flow else text) in (
        text,
        [text],
    ):
        return text
    # Letters of every language stay legible; where something does not print, all is escaped.
    shown = yaml.safe_dump(
        text, default_style='"', allow_unicode=text.isprintable(), width=math.inf
    )
    return str(shown).removesuffix("\n")


def one_line(text: str) -> str:
    """Text for a comment: what would end the line, or does not print, is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
