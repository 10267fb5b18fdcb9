"""What the report says of families of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting, stored
from mixedflow.config import families
from mixedflow.prose import captions
from mixedflow.prose.markup import count, isolated
from mixedflow.report.html import inline_svg

if TYPE_CHECKING:
    import pandas as pd


_LEVEL = 0.05
_MOST_LISTED = 50
_NAMED = 3  # members that a sentence names


@dataclass(frozen=True)
class Section:
    """A family's artifacts on the page: ``folder`` of the run, ``spec`` as the run had it."""

    folder: Path
    spec: Mapping[str, Any]
    caption: captions.Caption = captions.ALL["family"]
    wide: bool = True

    @property
    def key(self) -> str:
        return f"family-{self.spec['name']}-figure"

    @cached_property
    def rows(self) -> pd.DataFrame:
        placeholders = [key for key, _ in self.spec["columns"]]
        return stored.read(self.folder / "family.csv", (*families.APART, *placeholders))

    @cached_property
    def members(self) -> pd.DataFrame:
        return self.rows.drop_duplicates("member")

    @property
    def link(self) -> Markup:
        return Markup('<a href="appendix/families.html#family-{0}"><code>{0}</code></a>').format(
            self.spec["name"]
        )

    @property
    def sentence(self) -> Markup:
        """How many members, how many could be fitted, and in how many tests 0 is ruled out."""
        tested = self.rows["p_adjusted"].dropna()
        fitted = int((self.members["converged"] != "").sum())
        return Markup(
            "{}: {} members, {} fitted; of {} tests, {} have p &lt; {} after adjustment ({})."
        ).format(
            self.link,
            count(len(self.members)),
            count(fitted),
            count(len(tested)),
            count(int((tested < _LEVEL).sum())),
            _LEVEL,
            self.spec["adjust"],
        )

    @property
    def body(self) -> Markup:
        text = (self.folder / "family.svg").read_text(encoding="utf-8")
        return inline_svg(text, f"fig-{self.key}", self.caption.title)

    @property
    def table(self) -> Markup:
        shown = self.rows.dropna(axis="columns", how="all")
        return Markup(
            formatting.html_table(shown.drop(columns=["failure", "caution"], errors="ignore"))
        )

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Members that failed or were not accepted as optimum, and why; the first of them."""
        doubtful = self.members[self.members["failure"] != ""]
        return list(zip(doubtful["member"], doubtful["failure"], strict=True))[:_MOST_LISTED]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Cautions of members whose fit was accepted, and of whom they are told."""
        of = self.members[self.members["caution"] != ""].groupby("caution", sort=False)["member"]
        return [
            (text, f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}")
            for text, names in ((str(key), list(group)) for key, group in of)
        ][:_MOST_LISTED]

    @property
    def cautions(self) -> list[Markup]:
        """For the list of what to be careful about."""
        said = {
            "could not be fitted": self.members["converged"] == "",
            "are no optimum and stay out of the adjustment": self.members["converged"] == "no",
            "are singular": self.members["singular"] == "yes",
            "have cautions, told below their table": (self.members["caution"] != "")
            & (self.members["singular"] != "yes"),
        }
        return [
            Markup("{}: {} of {} members {} ({}{}).").format(
                self.link,
                count(int(these.sum())),
                count(len(self.members)),
                what,
                Markup(", ").join(
                    isolated(name) for name in self.members["member"][these][:_NAMED]
                ),
                ", ..." if these.sum() > _NAMED else "",
            )
            for what, these in said.items()
            if these.any()
        ]


def sections(results_dir: Path, config: Mapping[str, Any]) -> list[Section]:
    """One section for each family of a run, alphabetically."""
    specs = config.get("families") or {}
    return [Section(results_dir / "families" / name, specs[name]) for name in sorted(specs)]
