"""What users can do wrong: one class each, one line each.

Every message says where (file and key, data set, model), what is wrong and, where there is one,
the nearest right thing. The command-line entry points print ``str(error)`` and exit non-zero;
nothing else of the package may reach a user as a traceback.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

_LONGEST_QUOTE = 60
_CLOSE = 0.65  # similarity of a name and what was meant: sex and sec, but not reshape and rename


class MixedflowError(Exception):
    """Base of all errors that a user can cause.

    Parameters
    ----------
    where
        The place: ``"config.yaml: models.growth.formula"``, ``"dataset london"``.
    what
        The fault, with the offending value.
    hint
        The nearest right thing, if there is one.
    """

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.where, self.what, self.hint = where, what, hint
        super().__init__(where, what, hint)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            line += f"; {self.hint}"
        return plain(line)

    def located(self, where: str) -> MixedflowError:
        """The same error, told from further out (the data set or model that it happened in)."""
        return type(self)(f"{where}: {self.where}" if self.where else where, self.what, self.hint)


class ConfigError(MixedflowError):
    """A key or value of the configuration file is wrong."""


class SourceError(MixedflowError):
    """A data source is missing, unreadable, or not the file that the configuration expects."""


class DataError(MixedflowError):
    """The data cannot be prepared or modelled as asked."""


class ExpressionError(MixedflowError):
    """An expression of derive or filter is outside the language, or names what does not exist."""


class FormulaError(MixedflowError):
    """A model formula is outside the language, or names what does not exist."""


class ModelError(MixedflowError):
    """A model cannot be estimated from these data."""


class ComparisonError(MixedflowError):
    """Two models cannot be compared by a likelihood-ratio test."""


class RankingError(MixedflowError):
    """Clusters cannot be ranked as asked."""


def plain(text: str) -> str:
    """``text`` as one line: what strangers wrote must neither break it nor steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def unexpected(error: Exception) -> str:
    """A fault that is not of a user's making, in one line."""
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"


def quote(value: object) -> str:
    """A value from a stranger, on one line and cut to a length that leaves the message readable."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 4] + "..." + text[-1]


def nearest(name: object, candidates: Iterable[object], noun: str = "") -> str:
    """A hint towards the candidate most like ``name``; failing that, the candidates themselves."""
    known = [str(candidate) for candidate in candidates]
    if not known:
        return ""
    wanted = str(name)
    alike = [other for other in known if folded(other) == folded(wanted)]
    if alike:
        return f"did you mean {' or '.join(told_apart(other, wanted) for other in alike[:3])}?"
    byfolded = {folded(candidate): candidate for candidate in reversed(known)}
    close = difflib.get_close_matches(folded(wanted), byfolded, n=1, cutoff=_CLOSE)
    if close:
        return f"did you mean {quote(byfolded[close[0]])}?"
    shown = ", ".join(quote(candidate) for candidate in known[:8])
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"{noun or 'known'}: {shown}{more}"


def folded(name: str) -> str:
    """What is the same for names that a reader would take for one."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def told_apart(other: str, name: str) -> str:
    """``other`` quoted, with the characters by which it differs from a name that looks the same."""
    if unicodedata.normalize("NFKC", other) != unicodedata.normalize("NFKC", name):
        return quote(other)
    there, here = (
        ", ".join(f"U+{ord(c):04X}" for c in dict.fromkeys(a) if c not in b) or "nothing"
        for a, b in ((other, name), (name, other))
    )
    return f"{quote(other)} (it looks alike, but has {there} in place of {here})"
