"""What ``init`` takes the columns of a file for, and what it assumed in doing so."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mixedflow.cli.columns import Roles, category, check_roles, is_dates
from mixedflow.cli.writing import Names, backquoted, is_stamp, slug
from mixedflow.data.raw import RawData
from mixedflow.errors import quote


class Plan:
    """The columns of an analysis: their kinds, their levels, and the names that they get."""

    def __init__(self, raw: RawData, roles: Roles, stem: str) -> None:
        check_roles(raw, roles)
        self.raw, self.roles = raw, roles
        self.names = Names(map(str, raw.frame.columns), roles.columns)
        self.outcome, self.cluster = self.names.now(roles.outcome), self.names.now(roles.cluster)
        self.chains = [[self.names.now(name) for name in chain] for chain in roles.chains]
        self.time = self.names.now(roles.time) if roles.time else None
        self.predictor = self.names.now(roles.predictor) if roles.predictor else None
        self.name = slug(stem, "data")
        self.stamp = " ".join(raw.file_label.split())
        self.title = " ".join(stem.split()) or self.name
        if not is_stamp(self.stamp):
            self.title, self.stamp = self.stamp or self.title, ""
        # What the models will see: a value that only an incomplete row has decides nothing.
        self.complete = raw.frame[roles.columns].dropna()
        self.clusters = int(raw.frame[roles.cluster].nunique())
        self.codes = category(raw, roles.predictor) if roles.predictor else None
        self.indicator = roles.predictor is not None and self._is_indicator(roles.predictor)
        self.predictor_within = self._varies(roles.predictor)
        self.time_within = self._varies(roles.time)
        self.dated = roles.time is not None and is_dates(raw.frame[roles.time])
        self.centred = self.since = None
        if self.predictor and self.codes is None and not self.indicator:
            self.centred = self.names.new(self.predictor, "_c")
        if self.time:
            self.since = self.names.new(self.time, "_0")
        self.slope_left_out = ""
        self.slope = self._slope()

    @property
    def several(self) -> bool:
        """More than one grouping factor."""
        return self.roles.grouping is not None

    def random(self, slope: str = "") -> str:
        """The random part: intercepts of all factors, a slope by the data set's cluster."""
        bars = []
        for k, chain in enumerate([list(map(backquoted, chain)) for chain in self.chains]):
            if k == 0 and slope:
                inner = (":".join(chain[:n]) for n in range(2, len(chain) + 1))
                bars += [f"(1 + {slope} | {chain[0]})", *(f"(1 | {name})" for name in inner)]
            else:
                bars.append(f"(1 | {'/'.join(chain)})")
        return " + ".join(bars)

    def leave_out_slope(self, why: str) -> None:
        self.slope, self.slope_left_out = None, why

    @property
    def growth(self) -> bool:
        """Clusters are followed over time."""
        return self.time_within

    @property
    def axis(self) -> str | None:
        """A number that varies within clusters: what lines of theirs can be drawn against."""
        if self.predictor_within and self.codes is None:
            return self.predictor
        return self.time if self.time_within else None

    def _is_indicator(self, name: str) -> bool:
        values = self.raw.frame[name].dropna()
        return (
            self.codes is None
            and pd.api.types.is_numeric_dtype(values.dtype)
            and bool(((values == 0) | (values == 1)).all())
        )

    def _varies(self, name: str | None) -> bool:
        """Whether a column varies within some cluster, which makes it one of level 1."""
        if name is None:
            return False
        groups = self.complete.groupby(self.roles.cluster)[name]
        return bool((groups.nunique() > 1).any())

    def _slope(self) -> str | None:
        """The column that the second model's slope is on; None for no such model."""
        clusters, rows = self.complete[self.roles.cluster].nunique(), len(self.complete)
        if 2 * clusters >= rows:
            self.slope_left_out = f"{rows} complete rows in {clusters} clusters are too few"
            return None
        if self.predictor_within and self.codes is None:
            return self.predictor if self.indicator else self.centred
        return self.since if self.time_within else None

    def assumed(self) -> Iterator[str]:
        """What was decided for the user, a line each."""
        if self.roles.grouping:
            yield from self.roles.grouping.told
        if self.predictor:
            yield f"{quote(self.predictor)} {self._kind()}, {self._level()}"
        if self.time and self.time_within and self.dated:
            yield (
                f"{quote(self.time)} holds dates and orders the rows of a cluster; "
                f"{self.since} counts the days since the cluster's first"
            )
        elif self.time and self.time_within:
            least = float(self.raw.frame[self.names.was(self.time)].min())
            yield (
                f"{quote(self.time)} orders the rows of a cluster; "
                f"{self.since} is the time since {least:g}, the earliest"
            )
        elif self.time:
            yield (
                f"{quote(self.time)} is the same in all rows of a cluster (level 2), so it orders "
                "none: is there another column for the occasion?"
            )
        if self.slope_left_out:
            yield f"no model with random slopes: {self.slope_left_out}"
        if self.stamp:
            yield f"the file's label, {quote(self.stamp)}, is a program's stamp and no title"

    def _kind(self) -> str:
        if self.codes is not None:
            return f"is a category with the reference {quote(self.codes[0])}"
        if self.indicator:
            return "is 0 or 1 and not centred"
        mean = float(self.raw.frame[self.names.was(str(self.predictor))].mean())
        return f"is a number; {self.centred} is centred at the mean of all rows, {mean:.6g}"

    def _level(self) -> str:
        if not self.predictor_within:
            return "the same in all rows of a cluster (level 2): it has no slope that varies"
        if self.slope and self.slope != self.since:
            return "and varies within clusters (level 1): so may its slope between them"
        return "and varies within clusters (level 1)"
