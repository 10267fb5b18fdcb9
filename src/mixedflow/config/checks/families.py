"""Families: placeholders that stand for something, and members that can be told apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mixedflow.config import families
from mixedflow.config.checks import names
from mixedflow.config.checks.models import kenward_roger, known_dataset, mixed_formula
from mixedflow.config.families import Member
from mixedflow.config.specs import DatasetSpec, FamilySpec
from mixedflow.errors import ConfigError, MixedflowError, nearest, quote
from mixedflow.language import expressions, formula
from mixedflow.language.residuals import Residual

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_NAME = 120  # of a member's folder


def parsed(
    where: str, spec: FamilySpec, datasets: Mapping[str, DatasetSpec]
) -> list[formula.Parsed]:
    """The formulas of a family that can be read; some members may have none.

    Raises
    ------
    ConfigError, FormulaError, ExpressionError
        The first fault, at its key below ``where``.
    """
    for name in spec.datasets:
        known_dataset(f"{where}.dataset", name, datasets)
        if datasets[name].chunks:
            raise ConfigError(
                f"{where}.dataset", f"{name} is read in chunks, which families are not",
                "make each member a model of its own",
            )  # fmt: skip
    kenward_roger(f"{where}.df", spec.df, spec.method, spec.residual)
    _varied(where, spec)
    _columns(f"{where}.for", spec)
    _apart(where, spec)
    if spec.term is not None:
        _placeholders(f"{where}.term", spec.term, spec)
    members = families.expand(spec)
    _folders(where, members)
    for name, text in spec.subsets:
        expressions.check(text, f"{where}.for.subset.{name}")
    found = _formulas(f"{where}.formula", members, datasets, spec.residual)
    if spec.term is not None:
        _term(f"{where}.term", found)
    return [one for _, one in found]


def _varied(where: str, spec: FamilySpec) -> None:
    if not (spec.columns or spec.subsets or spec.files or len(spec.datasets) > 1):
        raise ConfigError(
            where, "has one member only", "list what varies under for, or several data sets"
        )
    _placeholders(f"{where}.formula", spec.formula, spec)


def _placeholders(where: str, text: str, spec: FamilySpec) -> None:
    known = [name for name, _ in spec.columns]
    for match in families.PLACEHOLDER.finditer(text):
        if match[1] not in known:
            hint = nearest(match[1], known, "placeholders") or "list its columns under for"
            raise ConfigError(where, f"unknown placeholder {quote(match[0])}", hint)


def _columns(where: str, spec: FamilySpec) -> None:
    """What stands for columns is named once, legal, and used."""
    used = [match[1] for match in families.PLACEHOLDER.finditer(spec.formula)]
    for key, columns in spec.columns:
        here = f"{where}.{key}"
        if key in families.COLUMNS:
            hint = "list data sets under dataset" if key == "dataset" else "call it otherwise"
            raise ConfigError(here, "is a column of the family's table already", hint)
        if key not in used:
            hint = nearest(key, used, "placeholders")
            raise ConfigError(here, f"is not used: no {{{key}}} in the formula", hint)
        for name in columns:
            if not _COLUMN.fullmatch(name):
                raise ConfigError(
                    here, f"{quote(name)} is not a plain column name",
                    "letters, digits and underscores; give others a name under rename",
                )  # fmt: skip
        _distinct(here, columns)


def _apart(where: str, spec: FamilySpec) -> None:
    """Members differ by their names, and are not too many."""
    files = f"{where}.for.file"
    _distinct(f"{where}.dataset", spec.datasets)
    _distinct(f"{where}.for.subset", [name for name, _ in spec.subsets])
    _distinct(files, [name for name, _ in spec.files], "give the files names: {name: path}")
    if spec.files and len(spec.datasets) > 1:
        raise ConfigError(
            files, "files are read as the source of one data set", "name one under dataset"
        )
    if families.size(spec) > families.MOST_MEMBERS:
        raise ConfigError(
            where, f"{families.size(spec)} members, more than {families.MOST_MEMBERS}",
            "make several families",
        )  # fmt: skip


def _distinct(where: str, members: Sequence[str], hint: str = "") -> None:
    for name, number in Counter(members).items():
        if number > 1:
            raise ConfigError(where, f"two members would be called {quote(name)}", hint)
    names.distinct(where, members)


def _folders(where: str, members: Sequence[Member]) -> None:
    """Every member's name can be that of a folder."""
    for member in members:
        if len(member.name) > _LONGEST_NAME:
            raise ConfigError(
                where, f"the name {quote(member.name)} is too long for a folder",
                f"at most {_LONGEST_NAME} letters",
            )  # fmt: skip
        reserved = [part for part in member.name.split(".") if names.is_device(part)]
        if reserved:
            raise ConfigError(
                where, f"no folder can be called {quote(reserved[0])} on Windows",
                "give it another name",
            )  # fmt: skip


def _formulas(
    where: str,
    members: Sequence[Member],
    datasets: Mapping[str, DatasetSpec],
    residual: Residual | None,
) -> list[tuple[Member, formula.Parsed]]:
    """A member for each formula that can be read, and the formula; at least one is.

    Some combinations may make no model (an outcome that is a predictor too): these become rows
    that say so. If all of them fail, it is the formula.
    """
    errors, found = [], []
    texts = {(member.formula, datasets[member.dataset].cluster): member for member in members}
    for (text, cluster), member in texts.items():
        try:
            found.append((member, mixed_formula(where, text, cluster, residual)))
        except MixedflowError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _term(where: str, found: Sequence[tuple[Member, formula.Parsed]]) -> None:
    """The term is a fixed effect of some member."""
    # The levels of categories, as in schgend[boys], are known to the data only.
    plain = [(m.term or "", re.sub(r"\[[^\]]*\]", "", m.term or ""), p) for m, p in found]
    if not any({term, bare} & set(parsed.fixed) for term, bare, parsed in plain):
        term, bare, parsed = plain[0]
        hint = nearest(bare, parsed.fixed, "fixed effects")
        raise ConfigError(where, f"no fixed effect {quote(term)} in the formula", hint)
