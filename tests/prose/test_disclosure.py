"""What is said where clusters are withheld."""

from __future__ import annotations

from dataclasses import replace

from fit_reports import group_report

from mixedflow.prose import disclosure, notes, stata
from mixedflow.prose.findings import data_sentence
from mixedflow.report.facts import _group_facts

CARD = {
    "cluster": "school", "rows": 4059, "clusters": 65, "suppress": {"min_n": 10},
    "cluster_sizes": {"min": 22.0, "max": 198.0, "mean": 62.4461},
}  # fmt: skip
HIDDEN = CARD | {"withheld": {"clusters": 2, "rows": 10}}


def test_how_many_are_withheld_and_why():
    (text,) = notes.sentences(HIDDEN)
    assert text.startswith("2 of 65 clusters, with 10 rows together, are withheld everywhere")
    assert "fewer than 10 rows" in text
    assert text.endswith("counts of what is one in a cluster, are of the clusters shown.")
    assert notes.sentences(CARD) == []


def test_sizes_are_of_those_shown():
    assert "those shown 22 to 198 rows each (mean 62.4)" in str(data_sentence(HIDDEN))
    assert "those shown" not in str(data_sentence(CARD))
    group = replace(group_report(n_groups=65), withheld={"clusters": 2, "rows": 10})
    assert _group_facts(group)[1][0].endswith("(ends of those shown)")
    assert stata._group_lines(group)[1].startswith("2 groups withheld  ")
    assert stata._group_lines(replace(group, withheld=None))[1].startswith("   ")


def test_a_ranking_says_who_is_not_ranked():
    text = disclosure.unranked({"clusters": 2, "rows": 10}, 63)
    assert text.startswith("Ranked are 63 of 65 clusters: 2 with 10 rows together are withheld")
