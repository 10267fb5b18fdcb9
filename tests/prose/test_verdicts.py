"""Sentences about rankings: what they say of rankings whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.prose import verdicts

ISOLATE, END = "\u2068", "\u2069"


def a_ranking(separable, **changed):
    """Tables and numbers of five clusters; ``separable`` are the verdicts on the ten pairs."""
    names = ["a", "b", "c", "d", "e"]
    better = {p: v == "all" for p, v in separable.items()}
    low = [1 + sum(better.get(o + n, False) for o in names) for n in names]
    high = [5 - sum(better.get(n + o, False) for o in names) for n in names]
    estimate = np.array([2.0, 1.0, 0.0, -1.0, -2.0])
    ranks = pd.DataFrame(
        {
            "cluster": names,
            "estimate": estimate,
            "conf_low": estimate - 1.5,
            "conf_high": estimate + 1.5,
            "rank": range(1, 6),
            "rank_low": [1, 1, 2, 3, 5],
            "rank_high": [1, 3, 4, 5, 5],
            "rank_set_low": low,
            "rank_set_high": high,
            "rank_set_low_marginal": low,
            "rank_set_high_marginal": high,
            "simultaneous_low": estimate - 3.0,
            "simultaneous_high": estimate + 3.0,
            "surely": ["top" if h <= 2 else "bottom" if x > 3 else ""
                       for x, h in zip(low, high, strict=True)],
            "selected": ["best", "", "", "", "worst"],
            "p_top": [0.95, 0.83, 0.2, 0.02, 0.0],
            "p_bottom": [0.0, 0.02, 0.2, 0.5, 0.4],
        }
    )  # fmt: skip
    pairs = pd.DataFrame(
        [(x, y, separable.get(x + y, "no")) for i, x in enumerate(names) for y in names[i + 1 :]],
        columns=["first", "second", "separable"],
    )
    sensitivity = pd.DataFrame(
        {
            "rank_low": ranks["rank_low"],
            "rank_high": ranks["rank_high"],
            "rank_low_uncertain": ranks["rank_low"],
            "rank_high_uncertain": ranks["rank_high"],
        }
    )
    tables = {"ranking": ranks, "ranking_pairs": pairs, "ranking_sensitivity": sensitivity}
    numbers = {
        "top": 2,
        "highlight": [],
        "share": 0.2,
        "fdr": 0.1,
        "pairs": 10,
        "separable": sum(better.values()),
        "separable_alone": sum(better.values()) + 1,
        "unknown": 0,
        "unreliable": [],
        "variances_counted": True,
        "swaps": None,
    }
    return {**numbers, **changed}, tables


def said(separable, noun="School", **changed):
    numbers, tables = a_ranking(separable, **changed)
    texts = verdicts.of_ranking(numbers, tables, noun)
    plain = {key: [t.replace(ISOLATE, "").replace(END, "") for t in v] for key, v in texts.items()}
    return plain["sentences"], plain["cautions"]


def one(texts, part):
    found = [text for text in texts if part in text]
    assert len(found) == 1, texts
    return found[0]


CLEAR = {first + second: "all" for first, second in ("ac", "ad", "ae", "bd", "be", "ce")}


def test_the_first_and_the_last():
    sentences, _ = said(CLEAR)
    first = one(sentences, "comes first")
    assert "School a comes first by the estimate." in first
    assert "among the best 2 of 5 with 95% confidence for all clusters at once" in first
    assert "its rank is 1 with posterior probability 95%" in first
    assert first.endswith("It cannot be told apart from b.")
    last = one(sentences, "comes last")
    assert "School e comes last" in last and "among the last 2 of 5" in last
    assert last.endswith("It cannot be told apart from d.")


def test_where_nothing_is_ruled_out():
    sentences, _ = said({})
    first = one(sentences, "comes first")
    assert "With 95% confidence for all clusters at once, none of the 5 ranks is out" in first
    assert first.endswith("It cannot be told apart from b, c, d and e.")
    # The last one's neighbours come first.
    assert one(sentences, "comes last").endswith("It cannot be told apart from d, c, b and a.")
    assert one(sentences, "surely") == (
        "None is surely among the best 2; none is surely among the last 2."
    )


def test_where_everything_is_told_apart():
    every = {x + y: "all" for i, x in enumerate("abcde") for y in "abcde"[i + 1 :]}
    sentences, cautions = said(every, separable_alone=10)
    assert one(sentences, "comes first").endswith("It can be told apart from every other.")
    assert one(sentences, "surely").startswith("a and b are surely among the best 2 (95%")
    assert "d and e are surely among the last 2" in one(sentences, "surely")
    assert "Of 10 pairs, 10 (100%) can be told apart" in one(sentences, "pairs")
    assert "Of 4 pairs of neighbours in the table, 4 are shown to differ" in one(
        cautions, "neighbours"
    )


def test_pairs_that_only_hold_alone_do_not_count():
    sentences, cautions = said({"ab": "alone", "ae": "all"})
    assert one(sentences, "comes first").endswith("It cannot be told apart from b, c and d.")
    assert "1 (10%) can be told apart with 95% confidence for all pairs at once" in one(
        sentences, "pairs"
    )
    assert "none is shown to differ" in one(cautions, "neighbours")


def test_one_of_interest():
    sentences, _ = said(CLEAR, highlight=["a", "b"])
    text = one(sentences, "has rank 2")
    assert text == (
        "School b has rank 2 of 5 by the estimate; its rank is 1 to 3 with 95% confidence for all "
        "clusters at once, and 1 to 3 for it alone, if it was chosen before anybody saw the ranks."
    )
    # The first came to notice by its place: nobody named it beforehand.
    assert not [text for text in sentences if "has rank 1" in text or "beforehand" in text]


def test_the_selection_and_its_bound():
    sentences, _ = said({})
    text = one(sentences, "Selected as")
    assert text.startswith("Selected as the best and worst 20%: a as best; e as worst.")
    assert "At most 10% of such selections" in text


def test_the_average():
    sentences, _ = said({})
    assert one(sentences, "average") == (
        "0 of 5 are above average, 0 below, and 5 are not distinguishable from it with 95% "
        "confidence for all at once; each looked at alone, it is 1, 1 and 3."
    )


def test_where_selection_and_probability_disagree():
    """``b`` is probably among the two best and not selected; ``e`` is selected against the odds."""
    sentences, _ = said({})
    text = one(sentences, "more likely")
    assert text.startswith(
        "b (0.83) is more likely than not among the best 2, and not selected; "
        "e (0.40) is less likely than not among the last 2, and selected. "
        "The probability counts places among these 5; the selection asks for a value in the best "
        "and worst 20% of all clusters"
    )
    numbers, tables = a_ranking({})
    tables["ranking"] = tables["ranking"].assign(
        p_top=[0.9] + [0.1] * 4, p_bottom=[0.1] * 4 + [0.9]
    )
    assert "likely" not in " ".join(verdicts.of_ranking(numbers, tables, "School")["sentences"])


def test_cautions_come_with_their_reasons():
    reasons = ["the model did not converge"]
    swaps = {"predictor": "x", "low": -1.0, "high": 2.0, "crossing": 3, "sure": 0, "shown": 5}
    _, cautions = said({}, unreliable=reasons, unknown=2, swaps=swaps, variances_counted=False)
    assert cautions[0] == "This ranking is not reliable: the model did not converge."
    assert "2 of 5 clusters have too few rows" in one(cautions, "too few rows")
    assert "no rank from 1 to 5 can be ruled out" in one(cautions, "too few rows")
    text = one(cautions, "change places")
    assert "3 of 10 pairs (30%) change places by the estimates, none of them" in text
    assert "no standard errors here" in cautions[-1]


@pytest.mark.parametrize(
    "moved,text",
    [(0, "moves no posterior interval."), (1, "by at most 1 place."), (2, "by at most 2 places.")],
)
def test_what_the_variances_move(moved, text):
    numbers, tables = a_ranking({})
    tables["ranking_sensitivity"].loc[1, "rank_high_uncertain"] += moved
    assert verdicts.of_ranking(numbers, tables, "School")["cautions"][-1].endswith(text)


def test_an_interval_that_shifts_counts_as_moved():
    numbers, tables = a_ranking({})
    tables["ranking_sensitivity"].loc[1, ["rank_low_uncertain", "rank_high_uncertain"]] += 1
    text = verdicts.of_ranking(numbers, tables, "School")["cautions"][-1]
    assert text.endswith("by at most 1 place.")


# Names come from strangers


def test_names_are_one_short_isolated_line():
    assert verdicts.named("a") == f"{ISOLATE}a{END}"
    assert verdicts.named("two\nlines\tand  more") == f"{ISOLATE}two lines and more{END}"
    long = verdicts.named("x" * 100)
    assert len(long) == 42 and long.endswith("\u2026" + END)
    assert verdicts.named(7) == f"{ISOLATE}7{END}"


def test_lists_of_names():
    def plain(names):
        return verdicts.listed(names).replace(ISOLATE, "").replace(END, "")

    assert plain([]) == ""
    assert plain(["a"]) == "a"
    assert plain(["a", "b"]) == "a and b"
    assert plain("abc") == "a, b and c"
    assert plain([str(k) for k in range(10)]).endswith("8 and 9")
    assert plain([str(k) for k in range(13)]).endswith("8, 9 and 3 more")


def test_shares():
    sentences, _ = said({"ae": "all"}, pairs=1000)
    assert "1 (less than 1%) can be told apart" in one(sentences, "pairs")
    assert "0 (0%)" in one(said({})[0], "pairs, ")
