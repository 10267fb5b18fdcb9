"""Which of the first models ``init`` would rank the clusters by: the tests say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixedflow.artifacts import formatting
from mixedflow.config.specs import ModelSpec
from mixedflow.data.prepared import Prepared
from mixedflow.inference.comparison import lr_test
from mixedflow.inference.results import Results
from mixedflow.model.estimation import estimate
from mixedflow.ranking import distribution

_LEVEL = 0.05


@dataclass(frozen=True)
class Choice:
    """The name of the model, None if there is none to rank by, and why."""

    model: str | None
    why: str


def choose(models: Mapping[str, ModelSpec], prepared: Prepared) -> Choice:
    """The larger model if its test prefers it and it is not singular; else the smaller, likewise.

    Parameters
    ----------
    models
        One, or two of which the first is nested in the second by one random effect.

    Raises
    ------
    ModelError
        A likelihood without an optimum.
    """
    fits = {
        name: Results(estimate(model.formula, prepared.frame, model.method, f"models.{name}"))
        for name, model in models.items()
    }
    (first, smaller), *more = fits.items()
    clusters = len(smaller.groups[0].labels)  # of the factor that is ranked
    if clusters < distribution.FEWEST:
        return Choice(None, f"{clusters} clusters are too few to be ranked")
    why = ""
    for name, larger in more:
        df = larger.n_parameters - smaller.n_parameters
        statistic = max(0.0, 2.0 * (larger.log_likelihood - smaller.log_likelihood))
        p = lr_test(statistic, df, added=1, same_fixed=True)[0]
        shown = formatting.p_value(p)
        told = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
        if larger.singular or not larger.verdict.found:
            why = f"{name} is {'singular' if larger.singular else 'not accepted as the optimum'}"
        elif p < _LEVEL:
            return Choice(name, f"slopes differ between clusters ({told})")
        else:
            why = f"no evidence that slopes differ between clusters ({told})"
    if smaller.singular:
        return Choice(None, f"{first} is singular: nothing tells the clusters' levels apart")
    return Choice(first, why)
