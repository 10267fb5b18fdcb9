"""Each kind of sentence on funnels and reliability."""

from __future__ import annotations

from typing import Any

from mixedflow.prose import funnel

RELIABILITY = {
    "rankability": 0.9, "min": 0.71, "max": 0.97, "enough": 0.7, "clusters": 63, "unreliable": 0,
    "rows": 15,
}  # fmt: skip
OUTSIDE: dict[str, Any] = {
    "dispersion": 6.47, "added_sd": 2.3, "above": ["7"], "below": [], "above_over": [],
    "below_over": [],
}  # fmt: skip


def said(**changes: Any) -> list[str]:
    numbers = {
        "reliability": {k: changes.get(k, v) for k, v in RELIABILITY.items()},
        "funnel": {k: changes.get(k, v) for k, v in OUTSIDE.items()},
    }
    return [text.replace("\u2068", "").replace("\u2069", "") for text in funnel.sentences(numbers)]


def test_rankability_and_reliability():
    text = said()[0]
    assert text.startswith(
        "Rankability is 0.90: of the variance of the clusters' own estimates, 90%"
    )
    assert "between 0.71 and 0.97; none of 63 are below 0.7" in text
    assert text.endswith("for which a cluster needs about 15 rows.")
    assert "; 1 of 63 is below 0.7" in said(unreliable=1)[0]
    assert "needs about 1 row." in said(rows=1)[0]


def test_without_variance_no_size_is_enough():
    assert said(rows=None)[0].endswith("no variance between clusters, and no size is enough.")


def test_without_own_estimates_nothing_is_said():
    assert said(rankability=None) == []


def test_outside_the_limits():
    text = said()[1]
    assert "if clusters differ by chance alone, is 7 above." in text
    assert "(overdispersion 6.47): with an SD of 2.30 between clusters added" in text
    assert text.endswith("these limits leave out none.")
    both = said(above=["7", "1"], below=["3"], below_over=["3"])[1]
    assert "alone, are 7 and 1 above and 3 below." in both
    assert both.endswith("leave out 3 below.")


def test_no_more_than_chance():
    text = said(added_sd=0.0, above=[])[1]
    assert text.endswith("alone, are none. The own estimates vary no more than by chance.")
