"""What the report says of covariance structures that were tried on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting, stored
from mixedflow.prose import captions, structures
from mixedflow.prose.markup import count, isolated
from mixedflow.report.html import inline_svg
from mixedflow.report.tables import records

if TYPE_CHECKING:
    import pandas as pd

# In three tables, none wider than the page.
_FIT = (
    "structure", "description", "n_parameters", "log_likelihood", "aic", "delta_aic", "bic", "aicc",
)  # fmt: skip
_TESTS = ("structure", "against", "statistic", "df", "p_value", "distribution")
_EFFECT = ("structure", "estimate", "std_error", "effect_df", "conf_low", "conf_high")


@dataclass(frozen=True)
class Section:
    """A list's artifacts on the page: ``folder`` of the run, ``spec`` as the run had it."""

    folder: Path
    spec: Mapping[str, Any]
    caption: captions.Caption = captions.ALL["structures_course"]
    wide: bool = True

    @property
    def key(self) -> str:
        return f"structures-{self.spec['name']}-figure"

    @cached_property
    def rows(self) -> pd.DataFrame:
        return stored.read(self.folder / "structures.csv")

    @property
    def link(self) -> Markup:
        return Markup(
            '<a href="appendix/structures.html#structures-{0}"><code>{0}</code></a>'
        ).format(self.spec["name"])

    @property
    def sentences(self) -> list[Markup]:
        return structures.sentences(records(self.rows), self.spec["effect"])

    @property
    def body(self) -> Markup | None:
        """The figure, where there is a time to draw along."""
        if not self.spec["time"]:
            return None
        text = (self.folder / "structures_course.svg").read_text(encoding="utf-8")
        return inline_svg(text, f"fig-{self.key}", self.caption.title)

    @property
    def fit_table(self) -> Markup:
        return _table(self.rows, _FIT)

    @property
    def tests_table(self) -> Markup:
        return _table(self.rows, _TESTS)

    @property
    def effect_table(self) -> Markup | None:
        return _table(self.rows, _EFFECT) if self.spec["effect"] else None

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Structures that could not be fitted, and why."""
        return _told(self.rows, "failure")

    @property
    def told(self) -> list[tuple[str, str]]:
        """Cautions of structures that were."""
        return _told(self.rows, "caution")

    @property
    def cautions(self) -> list[Markup]:
        """For the list of what to be careful about."""
        said = {
            "could not be fitted": self.rows["failure"] != "",
            "are no optimum and stay out of the comparison": self.rows["converged"] == "no",
            "are singular": self.rows["singular"] == "yes",
        }
        return [
            Markup("{}: {} of {} structures {} ({}).").format(
                self.link,
                count(int(these.sum())),
                count(len(self.rows)),
                what,
                Markup(", ").join(isolated(name) for name in self.rows["structure"][these]),
            )
            for what, these in said.items()
            if these.any()
        ]


def _table(rows: pd.DataFrame, columns: tuple[str, ...]) -> Markup:
    fitted = rows[rows["failure"] == ""][list(columns)]
    return Markup(formatting.html_table(fitted.dropna(axis="columns", how="all")))


def _told(rows: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    there = rows[rows[column] != ""]
    return list(zip(there["structure"], there[column], strict=True))


def sections(results_dir: Path, config: Mapping[str, Any]) -> list[Section]:
    """One section for each list of a run, alphabetically."""
    specs = config.get("structures") or {}
    return [Section(results_dir / "structures" / name, specs[name]) for name in sorted(specs)]
