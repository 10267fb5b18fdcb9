"""What the report of a model says of what could not be computed."""

from __future__ import annotations

from dense import simulate

from mixedflow.analysis.model import fit_model
from mixedflow.config import reading
from mixedflow.data.prepared import Prepared
from mixedflow.inference import gee


def test_gee_that_does_not_converge_has_no_numbers(monkeypatch):
    frame = simulate(4, (1.0,))
    values = {"source": {"file": "d.csv"}, "cluster": "g"}
    model = {"dataset": "d", "formula": "y ~ x + (1 | g)", "inference": {"gee": True}}
    found = reading.load({"datasets": {"d": values}, "models": {"m": model}})
    searched = []
    for most in (60, 2):
        monkeypatch.setattr(gee, "_MOST_ROUNDS", most)
        prepared = Prepared(frame.assign(g=frame["g"].astype(str)), {})
        result = fit_model(found.models["m"], prepared, found.datasets["d"])
        searched.append(result)
        by_gee = result.tables["alternatives"].query("method.str.startswith('GEE')")
        assert len(by_gee) == 2
        assert by_gee["estimate"].isna().all() == by_gee["p_value"].isna().all() == (most == 2)
    good, bad = (result.report for result in searched)
    assert good.gee and not good.warnings
    assert bad.gee == {} and bad.warnings == (
        "GEE exchangeable has no estimates: they do not settle in 2 rounds",
    )
