"""What a data set was asked and what it answers: question, number, how sure it is, and where."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Headline:
    """A question that was tested or estimated, with its answer.

    ``sure`` says what the answer rests on (an interval, a test), ``link`` is the place of the
    report that has more. A page that lays nothing out shows all in one line.
    """

    question: Markup
    answer: Markup
    sure: Markup
    link: str

    def __html__(self) -> Markup:
        """``Question? Answer. How sure.``"""
        return Markup(" ").join(part for part in (self.question, self.answer, self.sure) if part)
