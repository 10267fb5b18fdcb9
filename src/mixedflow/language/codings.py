"""Codings of factors in a formula: ``C(f, Treatment("b"))``, ``Sum``, ``Helmert`` and ``Poly``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mixedflow.errors import nearest

_KINDS = {"Treatment": "treatment", "Sum": "sum", "Helmert": "helmert", "Poly": "poly"}
_KINDS |= {f"contr.{kind}": kind for kind in ("treatment", "sum", "helmert", "poly")}
# What a coefficient compares, for those that are no difference from a reference.
COMPARES = {
    "sum": "compares each level with the mean of all levels",
    "helmert": "compares each level with the mean of those before it",
    "poly": "has the linear, quadratic and further trends over the levels in their order",
}
_CALL = re.compile(r"([\w.]+)\s*(?:\((.*)\))?", re.DOTALL)
_REFERENCE = re.compile(
    r"""(?:(?:ref|reference)\s*=\s*)?(?:"([^"]*)"|'([^']*)'|(-?[\w.]+))""", re.DOTALL
)


class CodingError(Exception):
    """``what`` is wrong with a coding, and what to write."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.what, self.hint = what, hint


@dataclass(frozen=True)
class Coding:
    """``kind`` is treatment, sum, helmert or poly; ``reference`` a level of treatment coding."""

    kind: str
    reference: str | None = None

    def ordered(self, levels: list[str]) -> list[str]:
        """The levels in the order in which they are coded, the reference first."""
        if self.reference is None:
            return levels
        if self.reference not in levels:
            raise CodingError(
                f"no level {self.reference!r} as a reference", nearest(self.reference, levels)
            )
        return [self.reference, *(level for level in levels if level != self.reference)]

    @property
    def centred(self) -> bool:
        """Whether columns sum to 0 over the levels: there is no reference."""
        return self.kind != "treatment"

    def label(self, column: int, levels: list[str]) -> str:
        """What the ``column``-th of K - 1 columns is called, from 1 on."""
        if self.kind == "sum":
            return levels[column - 1]
        if self.kind == "poly":
            return {1: ".L", 2: ".Q", 3: ".C"}.get(column, f"^{column}")
        return levels[column]


def read(text: str) -> Coding:
    """From what stands after the comma of ``C(f, ...)``.

    Raises
    ------
    CodingError
        A coding that does not exist, or a reference where there is none.
    """
    call = _CALL.fullmatch(text.strip())
    if call is None or call[1] not in _KINDS:
        known = ("Treatment", "Sum", "Helmert", "Poly")
        hint = nearest(call[1] if call else "", known, "codings")
        raise CodingError(f"unknown coding {text.strip()!r}", hint)
    kind, inside = _KINDS[call[1]], (call[2] or "").strip()
    if not inside:
        return Coding(kind)
    reference = _REFERENCE.fullmatch(inside)
    if kind != "treatment" or call[1].startswith("contr.") or reference is None:
        raise CodingError(
            f"{call[1]}({inside}) is no coding", 'write Treatment("level"), Sum, Helmert or Poly'
        )
    return Coding(kind, next(part for part in reference.groups() if part is not None))
