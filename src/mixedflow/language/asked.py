"""What a chunk of a data set keeps the sums of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixedflow.language.formula import Parsed, parse
from mixedflow.language.residuals import Residual, read


@dataclass(frozen=True)
class Asked:
    """What chunks keep sums of: a formula, and the residual structure of a model that has one."""

    formula: str
    residual: Residual | None = None

    @classmethod
    def of(cls, given: str | Mapping[str, Any], where: str) -> Asked:
        """From a formula, or as ``written`` has it."""
        if isinstance(given, str):
            return cls(given)
        return cls(given["formula"], read(given["residual"], f"{where}.residual"))

    @property
    def written(self) -> str | dict[str, Any]:
        """As JSON has it."""
        if self.residual is None:
            return self.formula
        return {"formula": self.formula, "residual": self.residual.written()}

    @property
    def text(self) -> str:
        """The same in a line, which is the formula as a rule."""
        if self.residual is None:
            return self.formula
        return json.dumps(self.written, sort_keys=True)

    @property
    def key(self) -> str:
        """A name for what belongs to it in a chunk's file."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    def parsed(self, cluster: str, where: str) -> Parsed:
        """The formula, and the data set's clusters if it names none."""
        told = parse(self.formula, where)
        return told if self.residual is None else told.in_clusters(cluster)
