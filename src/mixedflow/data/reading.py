"""How a file is to be read: what the configuration says of the source and its columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

from mixedflow.config.specs import FileKeys
from mixedflow.data.raw import code_text

if TYPE_CHECKING:
    from mixedflow.config.specs import DatasetSpec, JoinSpec, SourceSpec


@dataclass(frozen=True)
class Reading(FileKeys):
    """Which columns, by the file's own names, hold names, and the keys of the source.

    ``names`` are grouping columns and keys, ``levels`` columns with the levels declared,
    ``categories`` others that are taken for names, and whether never for numbers. ``most`` bytes
    may come out of a file that is compressed in itself.
    """

    names: frozenset[str] = frozenset()
    levels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    categories: Mapping[str, bool] = field(default_factory=dict)
    most: float = math.inf

    @classmethod
    def of(cls, spec: DatasetSpec) -> Self:
        old = {new: name for name, new in spec.rename.items()}
        derived = dict(spec.derive)

        def in_file(name: str) -> str:
            text = derived.get(name, name).strip()
            copied = text.strip("`")  # a column alone is handed on as it is
            return old.get(copied, copied) if text in (name, copied, f"`{copied}`") else ""

        keys = {mine for one in spec.join for mine, _ in one.by if spec.categories.get(mine, True)}
        return cls(
            frozenset(map(in_file, {spec.cluster, *spec.grouping, *keys})) - {""},
            {in_file(name): _texts(order) for name, order in spec.levels.items() if in_file(name)},
            {in_file(name): only for name, only in spec.categories.items() if in_file(name)},
        ).with_keys(spec.source)

    @classmethod
    def of_joined(cls, spec: DatasetSpec, join: JoinSpec) -> Self:
        """The same of a file that is joined: its columns keep their names."""
        keys = {theirs for mine, theirs in join.by if spec.categories.get(mine, True)}
        levels = {name: _texts(order) for name, order in spec.levels.items()}
        return cls(frozenset({*spec.grouping, *keys}), levels, spec.categories)

    def with_keys(self, source: SourceSpec) -> Self:
        return replace(self, **{key.name: getattr(source, key.name) for key in fields(FileKeys)})


PLAIN = Reading()


def _texts(levels: Iterable[Any]) -> frozenset[str]:
    return frozenset(map(code_text, levels))
