"""A data set of any number of clusters with strangers' names, for figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedflow.config.specs import DatasetSpec, ExploreSpec, SourceSpec

HOSTILE = 'a $x$ <b>"&' + "long " * 20


def dataset(n_clusters):
    rng = np.random.default_rng(n_clusters)
    cluster = np.repeat(np.arange(n_clusters), 6)
    x = np.tile(np.arange(6.0), n_clusters) + rng.uniform(0, 0.5, size=6 * n_clusters)
    y = 5 + x + rng.normal(size=n_clusters)[cluster] + rng.normal(size=len(x))
    frame = pd.DataFrame(
        {"g": [f"<{c}>$" for c in cluster], "x": x, "y": y, "v": np.tile(np.arange(6), n_clusters)}
    )
    frame["s"] = np.where(cluster % 2, 1, 2)
    spec = ExploreSpec("y", None, "s", "v", "y ~ x", (), 3)
    source = SourceSpec("a.csv", None, None, None, 1)
    return frame, DatasetSpec("d", "D", source, "g", "x", {}, (), None, (), {}, {}, {}, spec)
