"""Families of models: the members of a batch are fitted, and each leaves its own artifacts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.analysis import disclosure
from mixedflow.arrays import Array
from mixedflow.artifacts import tables
from mixedflow.artifacts.fit_report import MemberReport
from mixedflow.artifacts.storage import write_text
from mixedflow.config.families import FAILURE, Batch, Member
from mixedflow.config.specs import DatasetSpec
from mixedflow.data import preparation, sources
from mixedflow.data.disclosure import Rule
from mixedflow.data.download import DOWNLOADS
from mixedflow.data.prepared import Prepared, load
from mixedflow.errors import DataError, MixedflowError, unexpected
from mixedflow.inference.results import Reporting, Results, known_df
from mixedflow.language import evaluation
from mixedflow.language.formula import parse
from mixedflow.language.residuals import Residual
from mixedflow.model.estimation import estimate
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


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

    frames = {name: load(*paths) for name, paths in stored.items()}
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
            report, made = fit_member(member, batch, prepared)
        except MixedflowError as error:
            _fail(folder, str(error).removeprefix(f"{member.where}: "))
        except (MemoryError, OSError):
            raise  # it is the machine, and another run may do better
        except Exception as error:
            # Not of a user's making, and still no reason to lose the other members.
            logger.exception("%s", member.where)
            _fail(folder, unexpected(error))
        else:
            report.write(folder / "fit.json")
            for name, frame in made.items():
                tables.write(frame, folder / f"{name}.csv")


def _fail(folder: Path, reason: str) -> None:
    write_text(folder / FAILURE, f"{reason}\n")


def _prepared(dataset: DatasetSpec, file: str) -> Prepared:
    source = replace(dataset.source, file=file, rdataset=None, url=None, sha256=None)
    # Counts and pictures belong to the data set's own source.
    spec = replace(dataset, source=source, expect={}, explore=None)
    return preparation.prepare(spec, sources.read_dataset(spec, Path(), Path(DOWNLOADS)))


def rows_of(member: Member, prepared: Prepared, residual: Residual | None = None) -> pd.DataFrame:
    """The rows of a member's subset, numbered anew, and of the columns those that it uses.

    All columns, if it names one that is not there: the error then knows what could be meant.

    Raises
    ------
    FormulaError, ExpressionError
        As ``parse`` and ``evaluation.condition``.
    DataError
        No row is left.
    """

    frame = prepared.frame
    used = parse(member.formula, member.where).variables
    if residual is not None:
        used = used.union(residual.variables, [prepared.card["cluster"]])
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
    held = evaluation.condition(member.filter, prepared.frame, where, labels)
    if not held.any():
        raise DataError(where, "no row is left", member.filter)
    return frame[held].reset_index(drop=True)


def fit_member(
    member: Member, batch: Batch, prepared: Prepared
) -> tuple[MemberReport, dict[str, pd.DataFrame]]:
    """A member's report, and the tables of a model by name.

    Raises
    ------
    MixedflowError
        As :func:`rows_of` and :func:`mixedflow.model.estimation.estimate`.
    """
    reporting = Reporting(df=known_df(batch.df))
    reporting.check(batch.method, member.where, batch.residual)
    fitted = estimate(
        member.formula,
        rows_of(member, prepared, batch.residual),
        batch.method,
        member.where,
        batch.residual,
        prepared.card["cluster"],
    )
    found = Results(fitted, reporting)
    core = found.report().core()
    hidden = _withheld(fitted, member, prepared)
    report = MemberReport(
        **{**core, "groups": disclosure.groups(core["groups"], fitted, hidden)},
        model=f"{member.family}.{member.name}",
        family=member.family,
        member=member.name,
        dataset=member.dataset,
        file=member.file,
        subset=member.filter,
        formula=member.formula,
        outcome=fitted.parsed.outcome if fitted.parsed else "",
        inference={"df": batch.df, "intervals": "wald"},
    )
    made = {
        "fixed_effects": found.fixed_effects,
        "variance_components": found.variance_components,
    }
    if fitted.random_terms:
        made["cluster_effects"] = found.cluster_effects
    return report, disclosure.tables(made, fitted, hidden)


def _withheld(fitted: Fitted, member: Member, prepared: Prepared) -> list[Array]:
    """(J,) of each factor; all of a subset, whose clusters are had of others by subtraction."""
    rule = Rule.of_card(prepared.card)
    if rule is not None and member.filter is not None:
        return [np.ones(len(group.clusters), dtype=bool) for group in fitted.groups]
    return disclosure.withheld(fitted, rule, prepared.frame)
