"""The methods text of a run and what it cites."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from fit_reports import model_report
from markupsafe import Markup

from mixedflow.artifacts.fit_report import Contextual, LikelihoodRatio, ModelReport
from mixedflow.prose import methods, references, residual_names, weights

HOSTILE = "<script>alert('x')</script>\n{0} & \"quote\" \u202eאבג"


def plain(sentence: Markup) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", sentence))


def fitted(**changes: Any) -> ModelReport:
    """A fit by ML with a random intercept."""
    lr = LikelihoodRatio(12.3, changes.pop("df", 1), 0.0002, "")
    nothing = {"model": "a", "method": "ml", "r2": {"marginal": 0.3}, "lr_vs_linear": lr}
    return model_report(**nothing | changes)


def marginal(residual: Any, **changes: Any) -> ModelReport:
    given = {"formula": "y ~ x", "random_terms": [], "residual": residual}
    return fitted(**given | changes)


FIT = fitted()
CARD = {"title": "Schools", "rows": 4059, "clusters": 65, "cluster": "school", "source": {}}


WITHHELD = {"suppress": {"min_n": 10}, "withheld": {"clusters": 2, "rows": 10}}
TESTED = Contextual("lrt", "school", False, 0.295, 0.107, 7.56, 1, 0.006)
CENTRED = Contextual("lrt", "school", True)


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


def test_what_is_withheld_and_means_that_are_tested_are_told() -> None:
    said = plain(
        Markup(" ").join(methods.paragraphs([fitted(contextual=[TESTED])], [CARD | WITHHELD]))
    )
    assert (
        "Clusters with fewer than 10 rows, and the next smallest where totals would give them away "
        "(Hundepool et al. 2012), count in the fits and are withheld from all that is published."
    ) in said
    assert (
        "Whether clusters’ means of a covariate matter beside its own values was tested by adding "
        "them to the model (Mundlak 1978)."
    ) in said
    card = CARD | {"suppress": {"min_n": 2}}
    assert not {"hundepool2012", "mundlak1978"} & keys([fitted(contextual=[CENTRED])], [card])


def test_each_choice_brings_its_reference() -> None:
    other = fitted(
        model="b",
        method="reml",
        gee={"model_correlation": 0.5},
        inference={"df": "kenward-roger", "intervals": "profile"},
        df=3,
        n_missing=2,
        r2={"marginal": 0.3, "level1": 0.2},
    )
    added = {"kenward1997", "venzon1988", "patterson1971", "liang1986", "snijders1994"}
    assert keys([FIT, other], [CARD]) == keys([FIT], [CARD]) | added
    text = plain(Markup(" ").join(methods.paragraphs([FIT, other], [CARD])))
    assert "The fixed effects of b were tested by t tests with adjusted standard errors" in text
    ranked = {"a": [{"rank": 1}], "b": None}
    added = {"laird1989", "mogstad2024", "gu2023", "goldstein1995"}
    added |= {"spiegelhalter2005", "dishoeck2011"}
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


NESTED = ({"name": "school"}, {"name": "school:room", "n_groups": 20, "within": ["school"]})
CROSSED = ({"name": "school"}, {"name": "area", "n_groups": 7})


def test_several_grouping_factors_are_nested_or_crossed() -> None:
    def said(*fits: ModelReport) -> str:
        return plain(Markup(" ").join(methods.paragraphs(fits, [CARD | {"dataset": "schools"}])))

    nested, crossed = (fitted(groups=groups, method="ml") for groups in (NESTED, CROSSED))
    one = "one grouping factor (Laird and Ware 1982)"
    assert f"models with {one} were fitted" in said(fitted())
    assert "models with nested grouping factors (Goldstein 1986) were fitted" in said(nested)
    assert f"models with {one} or crossed grouping factors (Raudenbush 1993) were" in said(
        fitted(), crossed
    )
    assert "clusters (school) and 7 area clusters of " in said(crossed)


FAMILIES = [
    {"name": how, "method": "reml", "df": "normal", "adjust": how}
    for how in ("holm", "bonferroni", "fdr_bh", "fdr_by")
]


TRIED = [{"name": "growth", "method": "ml", "fits": [{"name": n} for n in ("car1", "un")]}]


def test_structures_say_which_and_how_they_were_compared() -> None:
    text = plain(Markup(" ").join(methods.paragraphs([], [CARD], (), (), TRIED)))
    assert "of one mean model (growth: car1 and un by ML) were fitted to the same rows" in text
    assert "AIC (Akaike 1974), BIC (Schwarz 1978) and AICc (Hurvich and Tsai 1989)" in text
    assert "Akaike" not in plain(Markup(" ").join(methods.paragraphs([], [CARD])))


def test_every_sentence_cites_what_it_names() -> None:
    every = {citation.short: key for key, citation in references.by_key().items()}
    used = [FIT], [CARD], [[1]], FAMILIES, TRIED
    text = plain(Markup(" ").join(methods.paragraphs(*used)))
    named = {key for short, key in every.items() if short in text}
    assert named == keys(*used)


def test_the_file_has_what_the_sentences_cite_and_nothing_else() -> None:
    """From a run that uses every method, and from the keys that the module's text names."""
    kinds = [("satterthwaite", "profile"), ("kenward-roger", "bootstrap")]
    fits = [
        fitted(model=df, method="reml", inference={"df": df, "intervals": intervals})
        for df, intervals in kinds
    ]
    fits.append(fitted(gee={"model_correlation": 0.5}, r2={"marginal": 0.3, "level1": 0.2}))
    fits += [fitted(groups=NESTED), fitted(groups=CROSSED)]
    fits += [fitted(weights={"variance": "v"}), fitted(weights={"sampling": "w", "scale": "size"})]
    fits += [marginal({"correlation": {kind: "t"}}) for kind in ("car1", "unstructured")]
    fits.append(marginal({"correlation": {"exponential": "t"}, "variance": {"by": "sex"}}))
    fits.append(fitted(contextual=[TESTED]))
    modules = [Path(module.__file__ or "") for module in (methods, residual_names, weights)]
    text = "".join(path.read_text("utf-8") for path in modules)
    written = re.findall(r'"([a-z-]+\d{4})"', text)
    cards = [CARD | WITHHELD]
    assert keys(fits, cards, [[1]], FAMILIES, TRIED) == set(written) == set(references.by_key())


def test_references_come_by_author_and_year() -> None:
    found = methods.citations([FIT], [CARD], (), FAMILIES)
    assert [citation.key for citation in found][:4] == [
        "bates2015", "benjamini1995", "benjamini2001", "holm1979",
    ]  # fmt: skip


def test_titles_of_strangers_are_escaped() -> None:
    shown = methods.paragraphs([FIT], [CARD | {"title": HOSTILE, "cluster": HOSTILE}])[0]
    assert set(re.findall(r"</?(\w+)", shown)) == {"bdi"}


def test_a_family_says_how_many_factors_its_formula_has() -> None:
    family = {"name": "scores", "method": "ml", "df": "normal", "adjust": "holm"}
    for formula, said in (
        ("{y} ~ {x} + (1 | g)", "with one grouping factor (Laird and Ware 1982) were"),
        ("{y} ~ x + (1 | g/h)", "with several grouping factors (Goldstein 1986) were"),
    ):
        text = plain(
            Markup(" ").join(methods.paragraphs([], [CARD], (), [family | {"formula": formula}]))
        )
        assert said in text


def test_a_marginal_model_has_no_effects_and_no_mixture() -> None:
    lr = {"statistic": 9.0, "df": 1, "p_value": 0.01, "distribution": "chi2(1)"}
    fit = marginal({"correlation": {"exchangeable": True}}, lr_vs_linear=lr)
    text = plain(Markup(" ").join(methods.paragraphs([fit], [CARD])))
    assert "were analysed. Marginal linear models, which describe" in text
    assert "(Diggle et al. 2002), were fitted by maximum likelihood (ML)." in text
    assert "Within clusters, residuals had an exchangeable correlation in a." in text
    for absent in ("empirical-Bayes", "Linear mixed", "mixture", "conservative", "R²"):
        assert absent not in text


def test_structures_are_told_with_their_models_and_references() -> None:
    beside = fitted(model="b", residual={"correlation": {"car1": "t"}, "variance": {"power": "t"}})
    mmrm = marginal({"correlation": {"unstructured": "visit"}}, model="m<i>")
    told = Markup(" ").join(methods.paragraphs([FIT, beside, mmrm], [CARD]))
    assert "<i>" not in told
    text = plain(told)
    assert "Linear mixed models with one grouping factor (Laird and Ware 1982) and marginal" in text
    assert (
        "residuals had a first-order autoregressive correlation in continuous time (Jones and "
        "Boadi-Boateng 1991) in b; a standard deviation that is a power of a covariate (Pinheiro "
        "and Bates 2000) in b; an unstructured covariance over the visits, as in mixed models for "
        "repeated measures (Mallinckrodt et al. 2008) in m<i>."
    ) in text
    found = {"jones1991", "pinheiro2000", "mallinckrodt2008", "diggle2002", "laird1982"}
    assert found <= keys([FIT, beside, mmrm], [CARD])
    # Beside random effects an unstructured covariance is no such model.
    inside = fitted(residual={"correlation": {"unstructured": "visit"}})
    assert "mallinckrodt2008" not in keys([inside], [CARD])
