"""Frozen values of a configuration and their JSON forms; keys that most do not have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Self, TypeVar, cast

_T = TypeVar("_T")


class Spec:
    """Canonical JSON and back; the text is what a job's rerun depends on."""

    def to_json(self) -> str:
        return json.dumps(self.plain(), sort_keys=True, ensure_ascii=False)

    def plain(self) -> dict[str, Any]:
        """What ``of`` makes it of."""
        return asdict(cast(Any, self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


def without(values: dict[str, Any], **rare: Any) -> dict[str, Any]:
    """What most models do not have is left out, and reruns nothing of theirs."""
    kept = {key: value for key, value in values.items() if key not in rare}
    return kept | {key: value for key, value in rare.items() if value is not None}


def rarely(
    read: Callable[[object, str], _T], values: Mapping[str, Any], key: str, where: str
) -> _T | None:
    """What ``read`` makes of a rare key; None without it."""
    return None if values.get(key) is None else read(values[key], f"{where}.{key}")
