"""The text of a first configuration, commented, for one file and the roles of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import yaml

from mixedflow.cli import check
from mixedflow.cli.columns import Roles, category, check_roles, described
from mixedflow.cli.writing import Names, backquoted, scalar, slug
from mixedflow.config import reading
from mixedflow.data.formats import FORMATS
from mixedflow.data.raw import RawData
from mixedflow.ranking import distribution

if TYPE_CHECKING:
    from mixedflow.data.prepared import Prepared


class Starter:
    """The configuration of one file and its columns' roles."""

    def __init__(self, raw: RawData, roles: Roles, path: str, stem: str) -> None:
        self.raw, self.path = raw, path
        self.frame = raw.frame
        check_roles(raw, roles)
        self.names = Names(map(str, raw.frame.columns), roles.options().values())
        self.outcome, self.cluster = self.names.now(roles.outcome), self.names.now(roles.cluster)
        self.time = self.names.now(roles.time) if roles.time else None
        self.predictor = self.names.now(roles.predictor) if roles.predictor else None
        self.name = slug(stem, "data")
        self.title = " ".join((raw.file_label.strip() or stem).split()) or self.name
        self.codes = category(raw, roles.predictor) if roles.predictor else None
        self.centred = self.since = None
        self.predictor_within = self.predictor is not None and self.varies(self.predictor)
        if self.predictor and self.codes is None:
            self.centred = self.names.new(self.predictor, "_c")
        if self.time:
            self.since = self.names.new(self.time, "_0")
        self.clusters = int(raw.frame[roles.cluster].nunique())
        self.slope = self.random_slope()

    def varies(self, name: str) -> bool:
        """Whether a column varies within some cluster, which makes it one of level 1."""
        groups = self.frame.groupby(self.names.was(self.cluster))[self.names.was(name)]
        return bool((groups.nunique() > 1).any())

    def random_slope(self) -> str | None:
        """What the second model's slope is on: the predictor, the time, or nothing."""
        used = [self.names.was(name) for name in (self.outcome, self.predictor, self.time) if name]
        if 2 * self.clusters >= len(self.frame[used].dropna()):
            return None  # more random effects than rows
        if self.centred and self.predictor_within:
            return self.centred
        return self.since if self.time and self.varies(self.time) else None

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
        yield from described(self.raw)
        yield ""
        yield "datasets:"
        yield f"  {scalar(self.name)}:"
        yield f"    title: {scalar(self.title)}"
        *suffixes, last = FORMATS
        yield f"    # {', '.join(suffixes)} or {last}."
        yield f"    source: {{file: {scalar(self.path, flow=True)}}}"
        if self.names.renamed:
            yield "    # Names that a formula cannot write, and their new ones."
            yield "    rename:"
            yield from (
                f"      {scalar(old)}: {scalar(new)}" for old, new in self.names.renamed.items()
            )
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
            label = name and (
                found.get(self.names.was(name), "").strip() or self.names.old.get(name, "")
            )
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
        sizes = self.frame[self.names.was(self.cluster)].value_counts()
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
        if self.clusters < distribution.FEWEST:
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
