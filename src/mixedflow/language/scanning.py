"""The text of a formula -> tokens; what to write where there is none."""

from __future__ import annotations

import re

from mixedflow.errors import FormulaError, quote
from mixedflow.language.bases import BASES
from mixedflow.language.expressions import MATHS
from mixedflow.language.foreign import instead
from mixedflow.language.names import NAME
from mixedflow.language.shorthand import CENTRED

_MAX_LENGTH = 2000
_TOKEN = re.compile(
    rf"\s*(?:(?P<name>{NAME})|`(?P<quoted>[^`\n]+)`|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<op>%in%|\|\||\*\*|[-+*/:^|()~]))"
)
_WORD = re.compile(r"[^\s+*:^|()~,`;=<>\"']+")
PURE_CALLS = (*MATHS, *CENTRED, "clip", "cut", "where")
RESPONSES = ("log", "log10", "sqrt")  # of an outcome
CATEGORY_CALLS = ("C", "factor")
CALLS = (*PURE_CALLS, *CATEGORY_CALLS, *BASES, "I")


class Scanner:
    """The text of a formula, read a token at a time."""

    def __init__(self, text: str, where: str) -> None:
        if not isinstance(text, str):
            raise FormulaError(where, f"a formula is text, not {quote(text)}")
        if len(text) > _MAX_LENGTH:
            raise FormulaError(where, f"the formula is longer than {_MAX_LENGTH} characters")
        self.text, self.where, self.at = text, where, 0

    def fail(self, what: str, hint: str = "") -> FormulaError:
        return FormulaError(self.where, f"{what} in {quote(self.text)}", hint)

    def peek(self) -> tuple[str, str] | None:
        """Kind (name, quoted, number, op) and text of the next token, None at the end."""
        if not self.text[self.at :].strip():
            return None
        match = _TOKEN.match(self.text, self.at)
        if not match:
            bad = self.text[self.at :].lstrip()[0]
            raise self.fail(f"unexpected {quote(bad)}", self._odd_name())
        assert match.lastgroup is not None
        self._end = match.end()
        return match.lastgroup, match.group(match.lastgroup)

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise self.fail("the formula ends too early")
        self.at = self._end
        return token

    def accept(self, *ops: str) -> str | None:
        token = self.peek()
        if token and token[0] == "op" and token[1] in ops:
            self.at = self._end
            return token[1]
        return None

    def expect(self, op: str) -> None:
        if not self.accept(op):
            token = self.peek()
            found = quote(token[1]) if token else "the end"
            raise self.fail(f"expected {quote(op)}, found {found}")

    def _odd_name(self) -> str:
        """What to write if a name with other signs than letters and digits was meant here."""
        for word in _WORD.finditer(self.text):
            if word.start() <= self.at < word.end() and re.search(r"\w", word.group()):
                name, after = word.group(), self.text[word.end() :].lstrip()
                if after.startswith("("):
                    return instead(name, CALLS)
                return f"a column of that name stands in backquotes: `{name}`"
        return "write it as y ~ x + (1 | group)"

    def inside(self) -> str:
        """All up to the parenthesis that closes the one just read, whatever it is."""
        start, depth = self.at, 1
        while depth:
            if self.at >= len(self.text):
                raise self.fail("a parenthesis is not closed")
            depth += {"(": 1, ")": -1}.get(self.text[self.at], 0)
            self.at += 1
        return self.text[start : self.at - 1].strip()
