"""Families of models: one formula, many members; members in batches; what a member leaves.

The first half runs at each start of Snakemake, so numpy and pandas are loaded in the second only.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from mixedflow import files
from mixedflow.errors import DataError, MixedflowError

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.data import Prepared
    from mixedflow.smallsample import Method
    from mixedflow.spec import DatasetSpec, FamilySpec

logger = logging.getLogger(__name__)

PER_BATCH = 16
MOST_MEMBERS = 10_000
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
FAILURE = "failure.txt"
# Of the family's table, besides what sets the members apart.
COLUMNS = (
    "member", "dataset", "file", "subset", "term", "n_obs", "n_groups", "estimate", "std_error",
    "statistic", "df", "p_value", "p_adjusted", "conf_low", "conf_high", "sd_between",
    "sd_residual", "icc", "converged", "singular", "failure",
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

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Batch:
        values = json.loads(text)
        members = tuple(
            Member(**{**member, "about": tuple(map(tuple, member["about"]))})
            for member in values["members"]
        )
        return cls(values["method"], values["df"], members)


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
    return {name: Batch(spec.method, spec.df, tuple(found[name])) for name in sorted(found)}


# Fitting


def fit_batch(
    batch: Batch,
    stored: Mapping[str, tuple[Path, Path]],
    datasets: Mapping[str, DatasetSpec],
    folders: Sequence[Path],
) -> None:
    """Fit each member and write its artifacts into its folder.

    A member that fails leaves the one line that says why, in FAILURE, and no tables; the others
    are not touched by it.

    Parameters
    ----------
    stored
        Prepared rows and card of each data set that is used as it is.
    datasets
        How to prepare the files of members that have their own.
    folders
        One for each member, in their order.
    """
    from mixedflow import data, tables

    frames = {name: data.load(*paths) for name, paths in stored.items()}
    ready: tuple[str, Prepared] | None = None  # one file at a time: they may be large
    order = sorted(zip(batch.members, folders, strict=True), key=lambda pair: pair[0].file or "")
    for member, folder in order:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if member.file is None:
                prepared = frames[member.dataset]
            else:
                if ready is None or ready[0] != member.file:
                    ready = member.file, _prepared(datasets[member.dataset], member.file)
                prepared = ready[1]
            report, frames_made = fit_member(member, batch, prepared)
        except MixedflowError as error:
            _fail(folder, str(error).removeprefix(f"{member.where}: "))
        except (MemoryError, OSError):
            raise  # it is the machine, and another run may do better
        except Exception as error:
            # Not of a user's making, and still no reason to lose the other members.
            logger.exception("%s", member.where)
            _fail(folder, f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")
        else:
            files.write_text(folder / "fit.json", report)
            for name, frame in frames_made.items():
                tables.write(frame, folder / f"{name}.csv")


def _fail(folder: Path, reason: str) -> None:
    files.write_text(folder / FAILURE, f"{reason}\n")


def _prepared(dataset: DatasetSpec, file: str) -> Prepared:
    from mixedflow import data
    from mixedflow.download import DOWNLOADS

    source = replace(dataset.source, file=file, rdataset=None, url=None, sha256=None)
    # Counts and pictures belong to the data set's own source.
    spec = replace(dataset, source=source, expect={}, explore=None)
    where = f"datasets.{dataset.name}.source"
    return data.prepare(spec, data.read_source(source, Path(), Path(DOWNLOADS), where))


def rows_of(member: Member, prepared: Prepared) -> pd.DataFrame:
    """The rows of a member's subset, numbered anew, and of the columns those that it uses.

    All columns, if it names one that is not there: the error then knows what could be meant.

    Raises
    ------
    FormulaError, ExpressionError
        As ``formula.parse`` and ``expressions.condition``.
    DataError
        No row is left.
    """
    from mixedflow import expressions, formula

    frame = prepared.frame
    used = formula.parse(member.formula, member.where).variables
    if used <= set(frame.columns):
        frame = frame[sorted(used)]
    if member.filter is None:
        return frame
    labels = {
        variable["name"]: {
            level["value"]: level["label"] for level in variable["levels"] if level["label"]
        }
        for variable in prepared.card["variables"]
    }
    labels = {name: found for name, found in labels.items() if found}
    where = f"subset {dict(member.about)['subset']}"
    held = expressions.condition(member.filter, prepared.frame, where, labels)
    if not held.any():
        raise DataError(where, "no row is left", member.filter)
    return frame[held].reset_index(drop=True)


def fit_member(
    member: Member, batch: Batch, prepared: Prepared
) -> tuple[str, dict[str, pd.DataFrame]]:
    """A member's fit.json as text, and the tables of a model by name.

    Raises
    ------
    MixedflowError
        As :func:`rows_of` and :func:`mixedflow.mixed.fit`.
    """
    from mixedflow import mixed

    frame = rows_of(member, prepared)
    reporting = mixed.Reporting(df=cast("Method", batch.df))
    found = mixed.fit(member.formula, frame, batch.method, member.where, reporting)
    report = {
        **found.report(),
        "model": f"{member.family}.{member.name}",
        "family": member.family,
        "member": member.name,
        "dataset": member.dataset,
        "file": member.file,
        "subset": member.filter,
        "formula": member.formula,
        "outcome": found.parsed.outcome if found.parsed else "",
        "inference": {"df": batch.df, "intervals": "wald"},
    }
    text = json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n", {
        "fixed_effects": found.fixed_effects,
        "variance_components": found.variance_components,
        "cluster_effects": found.cluster_effects,
    }
