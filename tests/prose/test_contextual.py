"""What is said of clusters' means that a model leaves out."""

from __future__ import annotations

import json

from fit_reports import model_report
from interpreted import card, plain, variable

from mixedflow.artifacts.fit_report import Contextual, ModelReport
from mixedflow.prose import contextual, findings

CARD = card(variable("lrt", label="Reading test")) | {"dataset": "schools"}
MATTERS = Contextual("lrt", "school", False, 0.295015, 0.107283, 7.5618, 1, 0.0059617)
OPEN = Contextual("girl", "school", False, 0.93, 1.39, 0.45, 1, 0.5)
JOINT = Contextual("type", "school", False, None, None, 9.5, 2, 0.00865)
CENTRED = Contextual("lrt", "school", True)


def _fit(*found: Contextual, **more: object) -> ModelReport:
    return model_report(contextual=found, **more)


def test_a_mean_that_matters_is_a_caution_with_its_number() -> None:
    (text,) = map(plain, contextual.cautions(_fit(MATTERS, OPEN), CARD))
    assert text.startswith(
        "The mean of Reading test in a cluster of school goes with the outcome beside a row’s own "
        "value (contextual effect +0.295, 95% CI 0.0847 to 0.505, p = 0.006). The model leaves it "
        "out: its coefficient mixes the differences within and between clusters"
    )
    data = CARD | {"steps": [], "title": "S", "source": {"description": ""}, "rows_read": 4}
    data["variables"] = [{**one, "missing": 0} for one in CARD["variables"]]
    said = [plain(one) for one in findings.cautions([data], [_fit(MATTERS)], [])]
    assert [one for one in said if one.startswith("m: The mean of Reading test")]


def test_what_is_open_and_what_is_joint() -> None:
    opened, joint = map(plain, contextual.sentences(_fit(OPEN, JOINT), CARD))
    assert opened.startswith("The data do not show that the mean of girl in a cluster of school")
    assert "+0.930, 95% CI −1.79 to 3.65, p = 0.500" in opened
    assert "(contextual effects: chi2(2) = 9.50, p = 0.009)" in joint


def test_a_ranking_says_what_it_does_not_allow_for() -> None:
    (text,) = contextual.of_ranking(_fit(CENTRED))
    assert text.startswith("lrt is centred within clusters and the model leaves its cluster means")
    (text,) = contextual.of_ranking(_fit(MATTERS))
    assert "contextual effect +0.295" in text and "counts as the clusters’ own" in text
    short = plain(contextual.leaves_out(_fit(CENTRED), CARD))
    assert short == "Not adjusted for the clusters’ means of Reading test."
    short = plain(contextual.leaves_out(_fit(MATTERS), CARD))
    assert short == "Leaves the clusters’ means of Reading test out (p = 0.006)."
    both = plain(contextual.leaves_out(_fit(CENTRED, OPEN, JOINT), CARD))
    assert both == (
        "Not adjusted for the clusters’ means of Reading test. "
        "Leaves the clusters’ means of type out (p = 0.009)."
    )
    assert not contextual.leaves_out(_fit(OPEN), CARD) and not contextual.of_ranking(_fit())


def test_the_ranking_that_allows_for_intake_is_told_first() -> None:
    centred = _fit(CENTRED, model="centred", n_parameters=9)
    adjusted = _fit(MATTERS, model="adjusted")
    ranks = dict.fromkeys(("centred", "adjusted"))
    for order in ([centred, adjusted], [adjusted, centred]):
        (first,) = findings.leading_ranking(order, ranks)  # type: ignore[arg-type]
        assert first is adjusted
    assert findings.leading_ranking([centred], ranks) == [centred]  # type: ignore[arg-type]


def test_chunks_have_a_line_and_no_test() -> None:
    fit = _fit(sample={"rows": 9, "clusters": 3}, varies_within={"x": True})
    (text,) = map(plain, contextual.sentences(fit, CARD))
    assert "is not tested: that needs every row, and these were read in chunks." in text


def test_it_is_in_fit_json_and_only_where_there_is_something() -> None:
    fit = _fit(MATTERS, CENTRED)
    assert ModelReport.of(json.loads(fit.to_json())) == fit
    assert "contextual" not in json.loads(model_report().to_json())
