"""The text of a first configuration, commented, for one file and the roles of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import yaml

from mixedflow.cli import check
from mixedflow.cli.choice import Choice, choose
from mixedflow.cli.columns import described
from mixedflow.cli.plan import Plan
from mixedflow.cli.serial import NAME, Serial, proposed, refused
from mixedflow.cli.wide import told, wide
from mixedflow.cli.writing import backquoted, comment, scalar
from mixedflow.config import reading
from mixedflow.data.formats import FORMATS
from mixedflow.errors import ModelError, quote
from mixedflow.prose import notes

if TYPE_CHECKING:
    from mixedflow.config.specs import Config

_CALLED = {"car1": "their distance in time, CAR(1)", "ar1": "visits in between, AR(1)"}
_TITLES = {
    "car1": "Correlation in continuous time",
    "ar1": "Correlation from visit to visit",
}
_MOST_WIDE = 3  # measurements in columns that are told of


class Starter:
    """The configuration of one file: ``text`` of config.yaml, and what it ``assumed``, in lines.

    Drafted, held against the data, and its models fitted, for the tests say which one ranks.

    Parameters
    ----------
    plan
        What the columns are.
    path
        The file, as the configuration names it.
    best
        Whether high or low values are good; None where nobody has said.

    Raises
    ------
    DataError, FormulaError, ModelError
        The data cannot bear the models.
    """

    def __init__(self, plan: Plan, path: str, best: str | None) -> None:
        self.plan, self.path, self.best = plan, path, best
        self.serial: Serial | None = None
        try:
            data, choice = self._tried()
        except ModelError as error:
            if plan.slope is None:
                raise
            plan.leave_out_slope(f"{error.what}; {error.hint}" if error.hint else error.what)
            data, choice = self._tried()
        serial = self._correlate(data)
        self.counts = {key: data.prepared.card[key] for key in ("rows_read", "rows", "clusters")}
        self.assumed = [data.describe(), *plan.raw.notes, *plan.assumed(), *serial]
        self.assumed.append(self._ranked(choice))
        self.noted = notes.sentences(data.prepared.card)
        found = list(wide(plan.raw.frame).items())
        self.assumed += [told(*one) for one in found[:_MOST_WIDE]]
        self.text = self._text(choice)

    def _tried(self) -> tuple[check.Data, Choice]:
        settings: Config = reading.load(yaml.safe_load(self._text(None)))
        data = check.Data.of(settings.datasets[self.plan.name], self.plan.raw)
        for model in settings.models.values():
            check.model(model, data)
        return data, choose(settings.models, data.prepared)

    def _correlate(self, data: check.Data) -> list[str]:
        """Let residuals correlate in a further model, if times ask for it and it fits."""
        if not self.plan.growth:
            return []
        found = proposed(self.plan, data)
        if isinstance(found, str):
            return [f"no model with a correlation in time: {found}"]
        self.serial = found
        drafted = reading.load(yaml.safe_load(self._text(None))).models[NAME]
        if why := refused(drafted, data):
            self.serial = None
            return [f"no model with a correlation in time: {why}"]
        return [
            f"times within clusters are {found.times}: in {NAME} residuals correlate by "
            f"{_CALLED[found.kind]}, without random effects"
        ]

    def _ranked(self, choice: Choice) -> str:
        if choice.model is None:
            return f"nobody is ranked: {choice.why}"
        by = f"{choice.model}, since {choice.why}" if choice.why else choice.model
        if self.best:
            of = f" of {quote(self.plan.cluster)}" if self.plan.several else ""
            return f"clusters{of} are ranked by {by}; {self.best} values are good"
        reason = "clusters are followed over time" if self.plan.growth else "no direction is given"
        return f"nobody is ranked: {reason}; --best high or --best low would rank by {by}"

    def _text(self, choice: Choice | None) -> str:
        return "\n".join(self._lines(choice)) + "\n"

    def _lines(self, choice: Choice | None) -> Iterator[str]:
        plan = self.plan
        yield "# An analysis by mixedflow. After a change: mixedflow check, snakemake --cores all."
        yield "# Paths start in this folder; docs/config.md of mixedflow explains every key."
        yield "#"
        if choice is not None:
            yield "# Assumed:"
            for line in self.assumed:
                yield from comment(line)
            yield "#"
        yield from described(plan.raw)
        if choice is not None and self.noted:
            yield "#"
            yield "# To be looked at:"
            for note in self.noted:
                yield from comment(note)
        yield ""
        yield "datasets:"
        yield f"  {scalar(plan.name)}:"
        yield f"    title: {scalar(plan.title)}"
        *suffixes, last = FORMATS
        yield f"    # {', '.join(suffixes)} or {last}."
        if plan.raw.read_as:
            yield "    # How the file was read; change what is wrong."
        keys = {"file": self.path, **plan.raw.read_as}
        written = ", ".join(f"{key}: {scalar(value, flow=True)}" for key, value in keys.items())
        yield f"    source: {{{written}}}"
        if plan.names.renamed:
            yield "    # Names that a formula cannot write, and their new ones."
            yield "    rename:"
            yield from (
                f"      {scalar(old)}: {scalar(new)}" for old, new in plan.names.renamed.items()
            )
        yield "    # The level-2 unit: rows of one cluster are alike."
        yield f"    cluster: {scalar(plan.cluster)}"
        if plan.time:
            yield "    # Orders the rows of a cluster."
            yield f"    time: {scalar(plan.time)}"
        yield from _derive(plan)
        yield from _levels(plan)
        yield from _labels(plan)
        if choice is not None:
            yield "    # Counts that must hold: a file that has changed stops the run."
            counts = ", ".join(f"{key}: {number}" for key, number in self.counts.items())
            yield f"    expect: {{{counts}}}"
        yield from _explore(plan)
        yield ""
        yield from self._models(choice)
        yield ""
        yield "# The heading of results/report.html."
        yield f"report: {{title: {scalar(plan.title, flow=True)}}}"
        yield ""
        yield "# The folder of all results, inside this one."
        yield "results: results"

    def _models(self, choice: Choice | None) -> Iterator[str]:
        plan = self.plan
        y = backquoted(plan.outcome)
        predictor = plan.centred or (backquoted(plan.predictor) if plan.predictor else None)
        fixed = " + ".join(term for term in (predictor, plan.since) if term) or "1"
        yield "models:"
        whose = "cluster of each grouping factor" if plan.several else "cluster"
        yield f"  # Each {whose} has its own level."
        yield "  random_intercept:"
        yield "    title: Random intercept"
        yield f"    dataset: {scalar(plan.name)}"
        yield f"    formula: {scalar(f'{y} ~ {fixed} + {plan.random()}')}"
        yield "    method: reml                # ml for tests of fixed effects"
        yield from self._rank("random_intercept", choice)
        if not plan.slope:
            yield from self._structured(y, fixed)
            yield ""
            yield "# A random slope, (1 + x | cluster), needs a number that varies within clusters,"
            yield "# and more than two rows a cluster; a comparison tests whether slopes differ."
            yield "comparisons: {}"
            return
        slope = backquoted(plan.slope)
        yield ""
        yield f"  # Its own slope on {slope} too; || leaves out their correlation."
        yield "  random_slope:"
        yield "    title: Random intercept and slope"
        yield f"    dataset: {scalar(plan.name)}"
        yield f"    formula: {scalar(f'{y} ~ {fixed} + {plan.random(slope)}')}"
        yield "    method: reml"
        yield from self._rank("random_slope", choice)
        yield from self._structured(y, fixed)
        yield ""
        yield "# Likelihood-ratio tests: do the slopes differ between clusters?"
        yield "comparisons:"
        yield "  do_slopes_differ: {null: random_intercept, alternative: random_slope}"

    def _structured(self, y: str, fixed: str) -> Iterator[str]:
        found, plan = self.serial, self.plan
        if found is None:
            return
        yield ""
        yield f"  # Times are {found.times}: rows near each other may be more alike than others."
        yield "  # It has no random effects (a marginal model): with few rows a cluster, they and a"
        yield f"  # correlation are hard to tell apart; with many, add {plan.random()}."
        yield f"  {NAME}:"
        yield f"    title: {_TITLES[found.kind]}"
        yield f"    dataset: {scalar(plan.name)}"
        yield f"    formula: {scalar(f'{y} ~ {fixed}')}"
        yield f"    residual: {{correlation: {{{found.kind}: {scalar(found.over, flow=True)}}}}}"
        yield "    method: reml"

    def _rank(self, model: str, choice: Choice | None) -> Iterator[str]:
        if choice is None or model != choice.model:
            return
        if self.best:
            yield "    # Clusters in order of their intercepts; best: low if low values are good."
            yield f"    rank: {{by: Intercept, best: {self.best}}}"
        else:
            yield "    # For a ranking by intercepts; best: low if low values are good."
            yield "    # rank: {by: Intercept, best: high}"


def _derive(plan: Plan) -> Iterator[str]:
    if not plan.centred and not plan.since:
        return
    yield "    # New columns from expressions."
    yield "    derive:"
    if plan.centred:
        x = backquoted(str(plan.predictor))
        yield "      # Centred at the mean of all rows: the intercept is the level there."
        yield f"      {plan.centred}: {scalar(f'{x} - mean({x})')}"
        if plan.predictor_within:
            g = backquoted(plan.cluster)
            within = scalar(f"{x} - mean({x}, by={g})")
            yield "      # It varies within clusters, so that its coefficient mixes differences"
            yield "      # within and between them. For those within alone, centre it at each"
            yield "      # cluster's mean instead:"
            yield f"      # {plan.centred}: {within}"
    if plan.since:
        t = backquoted(str(plan.time))
        yield "      # Time since the first occasion: the intercept is the level there."
        since = f"since_first({t})" if plan.dated else f"{t} - min({t})"
        yield f"      {plan.since}: {scalar(since)}"


def _levels(plan: Plan) -> Iterator[str]:
    if not plan.codes:
        return
    yield "    # Categories in order, the first is the reference. Without this block codes"
    yield "    # are numbers, and texts are in alphabetical order."
    yield "    levels:"
    listed = ", ".join(scalar(level, flow=True) for level in plan.codes)
    yield f"      {scalar(str(plan.predictor))}: [{listed}]"


def _labels(plan: Plan) -> Iterator[str]:
    found = plan.raw.variable_labels
    labels = {}
    for name in (plan.outcome, plan.cluster, plan.time, plan.predictor):
        # A column that is renamed keeps its old name to be read.
        label = name and (
            found.get(plan.names.was(name), "").strip() or plan.names.old.get(name, "")
        )
        if name and label and label.strip():
            labels[name] = " ".join(label.split())
    for name, new, how in (
        (plan.predictor, plan.centred, "centred"),
        (plan.time, plan.since, "since the first"),
    ):
        if name and new:
            labels[new] = f"{labels.get(name, name)} ({how})"
    if labels:
        yield "    # What figures and tables call the columns; add units."
        yield "    labels:"
        yield from (f"      {scalar(name)}: {scalar(label)}" for name, label in labels.items())


def _explore(plan: Plan) -> Iterator[str]:
    if plan.axis is None:
        yield "    # With a number that varies within clusters: explore: {outcome: ...,"
        yield "    # predictor: ...} draws each cluster's own line against it."
        return
    yield "    # Pictures before any model; smaller clusters get no line of their own."
    yield "    explore:"
    yield f"      outcome: {scalar(plan.outcome)}"
    yield f"      predictor: {scalar(plan.axis)}"
    sizes = plan.raw.frame[plan.roles.cluster].value_counts()
    least = int(min(5, max(2, sizes.median())))
    yield f"      min_cluster_size: {least}"
