"""How the ranks of the clusters move between raw means and the models of one data set.

The lecture's "value added": what a model takes into account, it does not credit to the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from mixedflow.analysis import ranking
from mixedflow.artifacts import formatting, tables
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.artifacts.formatting import count
from mixedflow.artifacts.storage import write_text
from mixedflow.language.names import INTERCEPT
from mixedflow.prose.verdicts import called, named
from mixedflow.ranking import distribution, swaps
from mixedflow.ranking.posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.arrays import Array
    from mixedflow.config.specs import OrderSpec


RAW = "raw mean"
_RANK = "rank "


@dataclass(frozen=True)
class Moves:
    """``tables`` rank_moves (a row a cluster) and rank_agreement (a row for each two orders).

    ``highlight`` are the clusters of interest of the models' rankings.
    """

    tables: dict[str, pd.DataFrame]
    sentences: list[str]
    highlight: list[str]

    @property
    def ranks(self) -> pd.DataFrame:
        """Ranks alone: clusters by orders."""
        table = self.tables["rank_moves"].set_index("cluster")
        found = table[[name for name in table.columns if name.startswith(_RANK)]]
        return found.rename(columns=lambda name: name.removeprefix(_RANK))

    def write(self, folder: Path, title: str) -> None:
        """Write the tables with their HTML twins, and the sentences as rank_moves.json."""
        for name, table in self.tables.items():
            shown = f"{title}: {name.replace('_', ' ')}"
            tables.write(table, folder / f"{name}.csv")
            formatting.write_page(table, folder / f"{name}.html", shown)
        text = json.dumps({"sentences": self.sentences}, indent=1, ensure_ascii=False)
        write_text(folder / "rank_moves.json", text + "\n")


def read(paths: Mapping[str, Path], specs: Mapping[str, OrderSpec]) -> dict[str, Posterior]:
    """Posteriors of the clusters that the first ranked model ranks, from posterior.npz by model.

    Models without these clusters, and those that rank others, are left out.
    """
    first = next(name for name in paths if name in specs)
    found: dict[str, Posterior] = {}
    for name in (first, *(name for name in paths if name != first)):
        spec = specs.get(name)
        group = found[first].group if spec is None else spec.group
        with np.load(paths[name], allow_pickle=False) as stored:
            if spec is None and group not in stored["groups"]:
                continue
            one = Posterior.of(stored, group, spec.added if spec else ())
        if name == first or one.group == found[first].group:
            found[name] = one
    return found


def of_models(
    posteriors: Mapping[str, Posterior],
    fits: Mapping[str, ModelReport],
    specs: Mapping[str, OrderSpec],
    noun: str,
) -> Moves:
    """Ranks by raw means and by each model, from few parameters to many.

    ``posteriors`` are those of models that have the same clusters, as :func:`read` finds them.
    ``specs`` are those of the models that have a ranking of their own; the others rank by their
    intercept. Only models of the outcome that the first ranked model has are compared, on the
    clusters that all of them have; its best is best.
    """
    import pandas as pd

    first = next(name for name in fits if name in specs)
    order = sorted(fits, key=lambda name: (fits[name].n_parameters, name))
    used = [
        name
        for name in order
        if name in posteriors
        and fits[name].outcome == fits[first].outcome
        and (name in specs or INTERCEPT in posteriors[name].random_terms)
    ]
    common = _common([posteriors[name] for name in (first, *used)])
    sign = distribution.sign_of(specs[first].best)
    values = {RAW: _at(posteriors[first], posteriors[first].raw_mean, common)}
    for name in used:
        posterior = posteriors[name]
        by = ranking.by_of(specs[name].by) if name in specs else INTERCEPT
        c = distribution.weights_of(posterior.covariates, by, name)
        values[name] = _at(posterior, (posterior.u @ c)[posterior.like], common)
    ranks = {
        name: rankdata(-sign * value, method="min").astype(int) for name, value in values.items()
    }
    spread = np.ptp(np.array(list(ranks.values())), axis=0)
    moves = pd.DataFrame(
        {
            "cluster": common,
            "n": _at(posteriors[first], posteriors[first].n, common),
            "raw_mean": values[RAW],
            **{f"{_RANK}{name}": column for name, column in ranks.items()},
            "largest_move": spread,
        }
    ).sort_values([f"{_RANK}{RAW}", "cluster"], ignore_index=True)
    agreement = _agreement({name: sign * value for name, value in values.items()}, ranks)
    interest = dict.fromkeys(name for spec in specs.values() for name in spec.highlight)
    return Moves(
        {"rank_moves": moves, "rank_agreement": agreement},
        [*_sentences(ranks, common, agreement, noun), *_elsewhere(specs, posteriors)],
        [name for name in interest if name in common],
    )


def _elsewhere(specs: Mapping[str, OrderSpec], posteriors: Mapping[str, Posterior]) -> list[str]:
    names = [named(name) for name in specs if name not in posteriors]
    verb = "ranks" if len(names) == 1 else "rank"
    return [f"{' and '.join(names)} {verb} other clusters and cannot be compared."] if names else []


def _common(posteriors: Sequence[Posterior]) -> list[str]:
    """The clusters that all models have, in the order of the first."""
    import pandas as pd

    first, *others = posteriors
    shared = pd.Series(first.names)
    for other in others:
        shared = shared[shared.isin(other.names)]
    return [str(cluster) for cluster in shared]


def _agreement(values: Mapping[str, Array], ranks: Mapping[str, Array]) -> pd.DataFrame:
    """One row for each two orders, by their values (large is good) and their ranks."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "order1": one,
                "order2": other,
                "rank_correlation": float(spearmanr(ranks[one], ranks[other]).statistic),
                "pairs_that_swap": swaps.discordant(values[one], values[other]),
                "largest_move": int(np.abs(ranks[one] - ranks[other]).max()),
            }
            for one, other in combinations(ranks, 2)
        ]
    )


def _at(posterior: Posterior, values: Any, common: list[str]) -> Any:
    import pandas as pd

    return values[pd.Index(posterior.names).get_indexer(pd.Index(common))]


def _sentences(
    ranks: Mapping[str, Any], clusters: list[str], agreement: pd.DataFrame, noun: str
) -> list[str]:
    """The farthest move from the raw means, and how many pairs change places."""
    rows = agreement[agreement["order1"] == RAW].to_dict("records")
    row = max(rows, key=lambda row: row["largest_move"])
    model = str(row["order2"])
    far = int(np.abs(ranks[RAW] - ranks[model]).argmax())
    n = len(clusters)
    return [
        f"From the raw means to {named(model)}, {count(row['pairs_that_swap'])} of "
        f"{count(n * (n - 1) // 2)} pairs change places; {called(noun, clusters[far])} moves "
        f"farthest, from rank {count(ranks[RAW][far])} to {count(ranks[model][far])}."
    ]
