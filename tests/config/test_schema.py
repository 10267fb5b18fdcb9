"""What the schema fills in."""

from __future__ import annotations

from mixedflow.config import reading, schema
from mixedflow.config.specs import RankSpec, SelectSpec


def test_defaults_come_from_the_schema():
    small = {
        "datasets": {"d": {"source": {"file": "a.csv"}, "cluster": "g"}},
        "models": {"m": {"dataset": "d", "formula": "y ~ x + (1 | g)", "rank": {}}},
    }
    config = reading.load(small)
    assert config.models["m"].method == "reml"
    assert config.models["m"].rank == RankSpec(
        "Intercept", "high", None, SelectSpec(0.1, 0.1), (), (), None
    )
    assert config.results == "results" and config.datasets["d"].explore is None


def test_items_of_a_list_are_filled() -> None:
    node = schema.schema()["$defs"]["dataset"]["properties"]["join"]
    (one,) = schema.fill([{"file": "a.csv", "by": "g"}], node)
    assert one == {"file": "a.csv", "by": "g", "columns": None, "sha256": None}
