"""Families of models: one formula, many members; members in batches."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mixedflow.language.residuals import Residual, read

if TYPE_CHECKING:
    from mixedflow.config.specs import FamilySpec

PER_BATCH = 16
MOST_MEMBERS = 10_000
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
FAILURE = "failure.txt"  # in the folder of a member that could not be fitted
APART = ("dataset", "file", "subset")  # what may set members apart, besides placeholders
# Of the family's table, besides what sets the members apart.
COLUMNS = (
    "member", "dataset", "file", "subset", "term", "n_obs", "n_groups", "estimate", "std_error",
    "statistic", "df", "p_value", "p_adjusted", "conf_low", "conf_high", "sd_between",
    "sd_residual", "icc", "converged", "singular", "failure", "caution",
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One model of a family. ``about`` says what sets it apart: column of the table, value."""

    family: str
    name: str
    formula: str
    term: str | None
    dataset: str
    file: str | None
    filter: str | None
    about: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        return f"families.{self.family}.{self.name}"


@dataclass(frozen=True)
class Batch:
    """The members that one job fits, and how."""

    method: str
    df: str
    members: tuple[Member, ...]
    residual: Residual | None = None

    def to_json(self) -> str:
        values = asdict(self)
        del values["residual"]
        if self.residual is not None:
            values["residual"] = self.residual.written()
        return json.dumps(values, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Batch:
        values = json.loads(text)
        members = tuple(
            Member(**{**member, "about": tuple(map(tuple, member["about"]))})
            for member in values["members"]
        )
        residual = values.get("residual")
        structure = None if residual is None else read(residual, "residual")
        return cls(values["method"], values["df"], members, structure)


def slug(file: str) -> str:
    """What a file is called in a member's name: its own name, with letters of plain file names."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", PurePosixPath(file).stem)


def fill(text: str, values: Mapping[str, str]) -> str:
    """``text`` with a value for each placeholder."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], text)


def expand(spec: FamilySpec) -> tuple[Member, ...]:
    """All members: the product of data sets, files, columns and subsets.

    A name is made of what varies, in this order and joined by dots, whatever the order of keys.
    """
    axes: list[list[tuple[str, str, str]]] = []  # key, part of the name, value
    if len(spec.datasets) > 1:
        axes.append([("dataset", name, name) for name in spec.datasets])
    if spec.files:
        axes.append([("file", name, path) for name, path in spec.files])
    axes += [[(key, name, name) for name in names] for key, names in spec.columns]
    if spec.subsets:
        axes.append([("subset", name, text) for name, text in spec.subsets])
    found = []
    for chosen in itertools.product(*axes):
        values = {key: value for key, _, value in chosen}
        about = [(key, name if key == "subset" else value) for key, name, value in chosen]
        found.append(
            Member(
                family=spec.name,
                name=".".join(part for _, part, _ in chosen),
                formula=fill(spec.formula, values),
                term=None if spec.term is None else fill(spec.term, values),
                dataset=values.get("dataset", spec.datasets[0]),
                file=values.get("file"),
                filter=values.get("subset"),
                about=tuple(about),
            )
        )
    return tuple(found)


def size(spec: FamilySpec) -> int:
    """How many members ``expand`` would give."""
    number = len(spec.datasets) * max(len(spec.files), 1) * max(len(spec.subsets), 1)
    for _, names in spec.columns:
        number *= len(names)
    return number


def batches(spec: FamilySpec) -> dict[str, Batch]:
    """Members by batch, as few batches as keep PER_BATCH members in each on average.

    Their number is a power of two and a member's place comes from its name alone: a member that
    comes or goes leaves the other batches as they are, unless the number of batches changes, and
    another order of members changes none.
    """
    members = expand(spec)
    count = 1
    while len(members) > PER_BATCH * count:
        count *= 2
    found: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda one: one.name):
        digest = hashlib.sha256(member.name.encode()).digest()
        number = int.from_bytes(digest[:8], "big") % count
        found.setdefault(f"{number:0{len(str(count - 1))}d}", []).append(member)
    return {
        name: Batch(spec.method, spec.df, tuple(found[name]), spec.residual)
        for name in sorted(found)
    }
