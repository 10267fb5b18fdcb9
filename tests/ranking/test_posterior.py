"""The posterior that a ranking starts from survives its file."""

from __future__ import annotations

import numpy as np
from rankings import posterior_of, simulate

from mixedflow import api
from mixedflow.inference.posterior import posterior
from mixedflow.ranking import distribution
from mixedflow.ranking.posterior import Posterior


def test_a_posterior_survives_its_file(tmp_path):
    y, X, cluster, _ = simulate(11)
    fit, path = api.fit_arrays(y, X, X, cluster), tmp_path / "posterior.npz"
    np.savez(path, **posterior(fit.fitted))
    stored, made = Posterior.load(path), posterior_of(fit)
    assert distribution.rank(stored, "z0").equals(distribution.rank(made, "z0"))
