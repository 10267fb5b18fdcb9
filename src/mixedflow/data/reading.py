"""How a file is to be read: what the configuration says of the source and its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Self

from mixedflow.data.raw import code_text

if TYPE_CHECKING:
    from mixedflow.config.specs import DatasetSpec, SourceSpec


@dataclass(frozen=True)
class Reading:
    """Which columns, by the file's own names, hold names, and the keys of the source.

    ``cluster`` is a column of names, ``levels`` are columns with the levels declared. A key that is
    None is found out by the reader of text. ``missing`` are cells that mean a missing value.
    """

    cluster: str | None = None
    levels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    comment: str | None = None
    missing: tuple[str, ...] = ()

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
        keys = [one.name for one in fields(self) if one.name not in ("cluster", "levels")]
        return replace(self, **{key: getattr(source, key) for key in keys})


PLAIN = Reading()
