"""The weights of a model's rows as users write them, each kind told apart by name.

``{"precision": "n"}``: residual variance s2 / w, lme4's ``weights``. ``{"variance": "v"}``: known
sampling variances, s2 held at 1, a meta-analysis. ``{"sampling": "w1", "cluster_sampling": "w2",
"scale": "size"}``: inverse probabilities of selection, by pseudo maximum likelihood. No data are
needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixedflow.errors import ModelError, nearest, quote

PRECISION, VARIANCE, SAMPLING = "precision", "variance", "sampling"
KINDS = (PRECISION, VARIANCE, SAMPLING)
CLUSTER_SAMPLING, SCALE = "cluster_sampling", "scale"
SCALES = ("size", "effective", "none")
_EXAMPLE = "such as {precision: n}, {variance: v} or {sampling: w1, cluster_sampling: w2}"


@dataclass(frozen=True)
class Weights:
    """``kind`` of weights in the column ``rows``; of sampling weights also that of the clusters.

    ``clusters`` is None where all clusters were as likely to be drawn; ``scale`` says how the rows'
    sampling weights are scaled within clusters.
    """

    kind: str
    rows: str
    clusters: str | None = None
    scale: str = "size"

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns of the data that they stand in."""
        return (self.rows, *((self.clusters,) if self.clusters else ()))

    @property
    def uses(self) -> tuple[tuple[str, bool], ...]:
        """The same, none of which stands for names."""
        return tuple((name, False) for name in self.variables)

    @property
    def sampling(self) -> bool:
        return self.kind == SAMPLING

    @property
    def known(self) -> bool:
        """The residual variances are known, and none is estimated."""
        return self.kind == VARIANCE

    def written(self) -> dict[str, str]:
        """As users write them."""
        found = {self.kind: self.rows}
        if self.sampling:
            found |= {CLUSTER_SAMPLING: self.clusters} if self.clusters else {}
            found[SCALE] = self.scale
        return found

    def check(self, where: str, method: str, df: str, intervals: str) -> None:
        """Refuse what does not exist with them.

        Raises
        ------
        ModelError
        """
        if not self.sampling:
            return
        if method != "ml":
            what = "sampling weights make a pseudo-likelihood, which has no restricted form"
            raise ModelError(where, what, "use method: ml")
        if df != "normal":
            what = f"{df} degrees of freedom are not available with sampling weights"
            raise ModelError(where, what, "use df: normal")
        if intervals != "wald":
            what = f"{intervals} intervals are not available with sampling weights"
            raise ModelError(where, what, "use intervals: wald, which are by robust errors")


def read(given: object, where: str) -> Weights:
    """The weights that users wrote.

    Raises
    ------
    ModelError
        A key or value that is none, or kinds that exclude each other.
    """
    if not isinstance(given, Mapping):
        raise ModelError(where, f"{quote(given)} does not say what the weights are", _EXAMPLE)
    known = (*KINDS, CLUSTER_SAMPLING, SCALE)
    for key in given:
        if key not in known:
            raise ModelError(where, f"unknown key {quote(key)}", nearest(key, known))
    kinds = [key for key in KINDS if key in given]
    if len(kinds) != 1:
        what = f"one kind of weights, not {' and '.join(kinds) if kinds else 'none'}"
        raise ModelError(where, f"it needs {what}", _EXAMPLE)
    (kind,) = kinds
    for key in (CLUSTER_SAMPLING, SCALE):
        if kind != SAMPLING and key in given:
            raise ModelError(where, f"{key} goes with sampling, not with {kind}", "leave it out")
    for key in (kind, CLUSTER_SAMPLING):
        if key in given and (not isinstance(given[key], str) or not given[key]):
            what = f"{key} is the name of a column, not {quote(given[key])}"
            raise ModelError(where, what)
    scale = given.get(SCALE, "size")
    if scale not in SCALES:
        raise ModelError(where, f"unknown scale {quote(scale)}", nearest(scale, SCALES))
    return Weights(kind, given[kind], given.get(CLUSTER_SAMPLING), scale)
