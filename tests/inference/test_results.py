"""What a fit's tables cannot be is refused before the fit."""

from __future__ import annotations

import pytest
from dense import simulate

from mixedflow import api
from mixedflow.errors import ModelError
from mixedflow.inference.results import Reporting


@pytest.mark.parametrize(
    ("method", "reporting", "words"),
    [
        ("ml", Reporting(df="kenward-roger"), "Kenward-Roger needs a REML fit; use method: reml"),
        ("reml", Reporting(df="kenward"), "unknown method 'kenward'; did you mean 'kenward-roger'"),
        ("reml", Reporting(df=""), "unknown method ''"),
        ("reml", Reporting(intervals="profil"), "unknown kind 'profil'; did you mean 'profile'"),
    ],
)
def test_reporting_that_cannot_be_is_refused_before_the_fit(method, reporting, words):
    with pytest.raises(ModelError) as refusal:
        api.fit("y ~ x + (1 | g)", simulate(4, (1.0,)), method, reporting=reporting)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
