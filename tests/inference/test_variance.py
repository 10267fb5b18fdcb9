"""Variance components on their boundary."""

from __future__ import annotations


def test_no_wald_interval_of_a_variance(none):
    table = none.variance_components
    assert table[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    assert none.fixed_effects.notna().drop(columns="df").all(axis=None)
