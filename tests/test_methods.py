"""The methods text of a run and its references."""

from __future__ import annotations

import html
import re
from typing import Any

from markupsafe import Markup

from mixedflow import methods

HOSTILE = "<script>alert('x')</script>\n{0} & \"quote\" \u202eאבג"


def plain(sentence: Markup) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", sentence))


FIT: dict[str, Any] = {
    "model": "a", "method": "ml", "n_missing": 0, "gee": None, "r2": {"marginal": 0.3},
    "inference": {"df": "normal", "intervals": "wald"}, "lr_vs_linear": {"df": 1},
}  # fmt: skip
CARD = {"title": "Schools", "rows": 4059, "clusters": 65, "cluster": "school", "source": {}}


def keys(*given: Any) -> set[str]:
    return {citation.key for citation in methods.citations(*given)}


def test_only_what_a_run_used_is_told_and_cited() -> None:
    text = plain(Markup(" ").join(methods.paragraphs([FIT], [CARD])))
    assert text.startswith(
        "4\N{NARROW NO-BREAK SPACE}059 rows in 65 clusters (school) of Schools were analysed. "
        "Linear mixed models with one grouping factor (Laird and Ware 1982) were fitted by maximum "
        "likelihood (ML). The profiled likelihood (Bates et al. 2015) was"
    )
    assert "The fixed effects were tested by Wald tests, with the normal distribution." in text
    for absent in ("REML", "Satterthwaite", "bootstrap", "ranks", "simulated", "Generalised"):
        assert absent not in text
    used = {"laird1982", "bates2015", "self1987", "stram1994", "nakagawa2013", "johnson2014"}
    assert keys([FIT], [CARD]) == used


def test_each_choice_brings_its_reference() -> None:
    other = FIT | {"model": "b", "method": "reml", "gee": {"model_correlation": 0.5}}
    other |= {"inference": {"df": "kenward-roger", "intervals": "profile"}}
    other |= {"lr_vs_linear": {"df": 3}, "n_missing": 2, "r2": {"marginal": 0.3, "level1": 0.2}}
    added = {"kenward1997", "venzon1988", "patterson1971", "liang1986", "snijders1994"}
    assert keys([FIT, other], [CARD]) == keys([FIT], [CARD]) | added
    text = plain(Markup(" ").join(methods.paragraphs([FIT, other], [CARD])))
    assert "The fixed effects of b were tested by t tests with adjusted standard errors" in text
    ranked = {"a": [{"rank": 1}], "b": None}
    added = {"laird1989", "mogstad2024", "gu2023", "goldstein1995"}
    assert keys([FIT], [CARD], ranked) == keys([FIT], [CARD]) | added
    assert keys([FIT], [CARD], {"a": None}) == keys([FIT], [CARD])


def test_a_family_brings_its_models_its_tests_and_its_adjustment() -> None:
    family = {"name": "scores", "method": "reml", "df": "satterthwaite", "adjust": "holm"}
    other = family | {"name": "years", "adjust": "fdr_bh"}
    text = plain(Markup(" ").join(methods.paragraphs([], [CARD], (), [family, other])))
    assert "were fitted by restricted maximum likelihood" in text
    assert "tested by t tests with Satterthwaite’s degrees of freedom" in text
    assert "of a family of models (scores) were adjusted by Holm’s method (Holm 1979)." in text
    assert (
        "(years) were adjusted for the false discovery rate (Benjamini and Hochberg 1995)" in text
    )
    alone = {"laird1982", "bates2015", "patterson1971", "giesbrecht1985", "kuznetsova2017"}
    assert keys([], [CARD], (), [family]) == alone | {"holm1979"}
    assert keys([FIT], [CARD]).isdisjoint({"holm1979", "benjamini1995", "benjamini2001"})


def test_every_sentence_cites_what_it_names() -> None:
    every = {citation.short: citation.key for citation in methods.citations()}
    adjusted = ("holm", "bonferroni", "fdr_bh", "fdr_by")
    families = [{"name": a, "method": "reml", "df": "normal", "adjust": a} for a in adjusted]
    used = [FIT], [CARD], [[1]], families
    text = plain(Markup(" ").join(methods.paragraphs(*used)))
    named = {key for short, key in every.items() if short in text}
    assert named == keys(*used)


def test_references_as_text_and_as_bibtex() -> None:
    found = {citation.key: citation for citation in methods.citations()}
    assert found["johnson2014"].text == (
        "Johnson, Paul C. D. (2014). Extension of Nakagawa & Schielzeth's R²GLMM to random slopes "
        "models. Methods in Ecology and Evolution 5(9), 944–946. doi:10.1111/2041-210X.12225"
    )
    assert found["snijders1994"].bibtex == (
        "@article{snijders1994,\n"
        "  author = {Snijders, Tom A. B. and Bosker, Roel J.},\n"
        "  year = {1994},\n"
        "  title = {{Modeled variance in two-level models}},\n"
        "  journal = {Sociological Methods \\& Research},\n"
        "  volume = {22(3)},\n"
        "  pages = {342--363},\n"
        "  doi = {10.1177/0049124194022003004},\n"
        "}"
    )
    assert found["holm1979"].text.endswith("Scandinavian Journal of Statistics 6(2), 65–70.")
    assert "doi" not in found["holm1979"].bibtex
    assert list(found)[:3] == ["bates2015", "benjamini1995", "benjamini2001"]


def test_titles_of_strangers_are_escaped() -> None:
    shown = methods.paragraphs([FIT], [CARD | {"title": HOSTILE, "cluster": HOSTILE}])[0]
    assert set(re.findall(r"</?(\w+)", shown)) == {"bdi"}
