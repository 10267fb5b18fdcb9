"""How a file is to be read: what the configuration says of the source and its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Self

from mixedflow.config.specs import TextKeys
from mixedflow.data.raw import code_text

if TYPE_CHECKING:
    from mixedflow.config.specs import DatasetSpec, SourceSpec


@dataclass(frozen=True)
class Reading(TextKeys):
    """Which columns, by the file's own names, hold names, and the keys of the source.

    ``cluster`` is a column of names, ``levels`` are columns with the levels declared.
    """

    cluster: str | None = None
    levels: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: DatasetSpec) -> Self:
        old = {new: name for name, new in spec.rename.items()}
        derived = dict(spec.derive)

        def in_file(name: str) -> str | None:
            text = derived.get(name, name).strip()
            copied = text.strip("`")  # a column alone is handed on as it is
            return old.get(copied, copied) if text in (name, copied, f"`{copied}`") else None

        levels = {
            file: frozenset(map(code_text, order))
            for name, order in spec.levels.items()
            if (file := in_file(name)) is not None
        }
        return cls(in_file(spec.cluster), levels).with_keys(spec.source)

    def with_keys(self, source: SourceSpec) -> Self:
        return replace(self, **{key.name: getattr(source, key.name) for key in fields(TextKeys)})


PLAIN = Reading()
