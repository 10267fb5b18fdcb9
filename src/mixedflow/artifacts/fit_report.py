"""fit.json: what a fit says of itself in numbers, typed; written once, read back by all others."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from mixedflow.artifacts.storage import write_text

SCHEMA = 2  # of fit.json; 1 had one grouping factor without a list around it


# Significant digits of fit.json. On another processor the last of sixteen are others. Tests are
# differences of log-likelihoods, which have more; gradients at the optimum are what rounding left.
_DIGITS = 8
_OTHER_DIGITS = {
    "log_likelihood": 12, "aic": 12, "bic": 12, "scaled_gradient": 1, "gain_left": 1,
}  # fmt: skip


def meaningful(value: Any, digits: int = _DIGITS) -> Any:
    """``value`` with the digits that mean something, in all of its parts."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") + 0.0  # -0 is 0
    if isinstance(value, Mapping):
        parts = {key: meaningful(v, _OTHER_DIGITS.get(key, _DIGITS)) for key, v in value.items()}
        if parts.get("difference") is not None and parts.get("tolerance"):
            # Of an audit: what is far below its tolerance is rounding.
            decimals = 2 - math.floor(math.log10(parts["tolerance"]))
            parts["difference"] = round(parts["difference"], decimals) + 0.0
        return parts
    if isinstance(value, list | tuple):
        return [meaningful(part, digits) for part in value]
    return value


@dataclass(frozen=True)
class Sizes:
    """Rows a cluster."""

    min: int
    mean: float
    max: int


@dataclass(frozen=True)
class GroupReport:
    """A grouping factor: how many clusters of how many rows, and the effects that vary by it.

    Beside other factors, ``within`` names those in whose clusters its own lie, and ``constant`` the
    covariates that do not vary within its clusters; both are empty for an only one. ``withheld``
    counts the clusters, and their rows, that disclosure control keeps from all tables.
    """

    name: str
    n_groups: int
    group_size: Sizes
    random_terms: tuple[str, ...]
    correlated: bool
    within: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    withheld: dict[str, int] | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **values,
                "group_size": Sizes(**values["group_size"]),
                **{
                    name: tuple(values.get(name, ()))
                    for name in ("random_terms", "within", "constant")
                },
            }
        )


@dataclass(frozen=True)
class Wald:
    """Joint test of all fixed effects but the intercept."""

    chi2: float
    df: int
    p_value: float


@dataclass(frozen=True)
class LikelihoodRatio:
    """Against the model without random effects; ``distribution`` names the reference in words."""

    statistic: float
    df: int
    p_value: float
    distribution: str


@dataclass(frozen=True)
class Share:
    """A share of the variance with its 95% interval; None where there is no interval."""

    estimate: float | None
    std_error: float | None
    conf_low: float | None
    conf_high: float | None


@dataclass(frozen=True)
class LevelShare:
    """A grouping factor's ``share`` of the variance, and how alike two rows of its clusters are.

    ``correlation`` is that of two rows of the same cluster, alike in the effects of the factors
    ``same``: this one and those that it lies within. An entry without ``group`` and share is for
    rows that have all clusters in common, where no factor lies within all others.
    """

    group: str | None
    same: tuple[str, ...]
    share: Share | None
    correlation: Share

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        share = values["share"]
        return cls(
            group=values["group"],
            same=tuple(values["same"]),
            share=None if share is None else Share(**share),
            correlation=Share(**values["correlation"]),
        )


@dataclass(frozen=True)
class ResidualParameter:
    """A parameter of a residual structure, as the table of variance components has it.

    ``term1`` and ``term2`` say where it holds (``girl = 1``; ``visit = 1`` and ``visit = 2``), and
    ``scale`` what it is: var, sd, cov, corr, ratio (of variances), power, exponent, range, nugget.
    """

    term1: str
    term2: str
    scale: str
    estimate: float
    std_error: float | None


@dataclass(frozen=True)
class Contextual:
    """A covariate's means in the clusters of ``group``, added to the model and tested (Wald).

    ``estimate`` is that of a single column. ``centred``: the covariate does not differ between
    clusters and the model holds nothing in place of its means, so that there is no test.
    """

    term: str
    group: str
    centred: bool
    estimate: float | None = None
    std_error: float | None = None
    statistic: float | None = None
    df: int | None = None
    p_value: float | None = None

    @property
    def matters(self) -> bool:
        return self.p_value is not None and self.p_value < 0.05


@dataclass(frozen=True)
class ShareAt:
    """The share of the variance that lies between clusters at ``mean_x`` of ``predictor``.

    ``held`` are the other covariates of the random effects: means, and levels of factors. ``parts``
    are the shares of several grouping factors, which add up to it.
    """

    predictor: str | None
    mean_x: float
    estimate: float | None
    conf_low: float | None
    conf_high: float | None
    held: dict[str, float | str] | None = None
    parts: dict[str, float] | None = None


@dataclass(frozen=True)
class Parabola:
    """Var(x) = var_intercept + 2 covariance x + var_slope x^2 + residual; its minimum."""

    predictor: str
    var_intercept: float
    covariance: float
    var_slope: float
    residual: float
    minimum_at: float | None


@dataclass(frozen=True)
class Heterogeneity:
    """Of estimates with known sampling variances: by how much they differ beyond these.

    ``q`` is Cochran's, on ``q_df`` degrees of freedom; ``predicted_low`` and ``predicted_high`` end
    the interval of a new cluster's true effect, None of a model with covariates.
    """

    tau2: float
    typical_variance: float
    i2: float
    q: float
    q_df: int
    q_p: float
    predicted_low: float | None
    predicted_high: float | None


_PARTS: dict[str, type[Any]] = {
    "wald": Wald,
    "lr_vs_linear": LikelihoodRatio,
    "icc": Share,
    "vpc": ShareAt,
    "variance_function": Parabola,
    "heterogeneity": Heterogeneity,
}


@dataclass(frozen=True)
class FitReport:
    """The numbers of a fit that need no configuration.

    ``varies_within`` says of each covariate whether it varies within a cluster; ``evidence`` how
    the optimum is known; ``outcome_doubt`` what speaks against a linear model of this outcome, as
    :mod:`mixedflow.model.outcome` tells; ``icc`` is that of a random intercept alone, ``shares``
    those of several factors' random intercepts; ``r2`` marginal and conditional (Nakagawa and
    Schielzeth), and level1 and level2 (Snijders and Bosker) where they exist; ``residual`` the
    structure of the residuals as users write it, None for independent ones, and
    ``residual_parameters`` what it is estimated as; ``weights`` those of the rows as users write
    them, None without any, and ``heterogeneity`` goes with known variances. Log-likelihoods by REML
    lack log|X'X|.
    """

    method: str
    groups: tuple[GroupReport, ...]
    n_obs: int
    n_missing: int
    fixed_terms: tuple[str, ...]
    varies_within: dict[str, bool]
    n_parameters: int
    log_likelihood: float
    aic: float | None
    bic: float | None
    wald: Wald | None
    lr_vs_linear: LikelihoodRatio | None  # none of a pseudo-likelihood
    icc: Share | None
    shares: tuple[LevelShare, ...] | None
    r2: dict[str, float]
    converged: bool
    singular: bool
    evidence: dict[str, Any]
    warnings: tuple[str, ...]
    outcome_doubt: dict[str, Any] | None
    residual: dict[str, dict[str, str | bool]] | None = field(default=None, kw_only=True)
    residual_parameters: tuple[ResidualParameter, ...] | None = field(default=None, kw_only=True)
    weights: dict[str, str] | None = field(default=None, kw_only=True)
    heterogeneity: Heterogeneity | None = field(default=None, kw_only=True)

    @property
    def random_terms(self) -> tuple[str, ...]:
        """Of all grouping factors, in their order."""
        return tuple(term for group in self.groups for term in group.random_terms)

    @property
    def marginal(self) -> bool:
        """Nothing varies between clusters: rows of one only correlate."""
        return not self.random_terms

    @property
    def correlated(self) -> bool:
        return any(group.correlated for group in self.groups)

    def core(self) -> dict[str, Any]:
        """The fields of this class by name: what a report of more adds to."""
        return {part.name: getattr(self, part.name) for part in fields(FitReport)}

    def to_json(self) -> str:
        """Canonical JSON; what a model does not have is null, but what is rare is left out."""
        values = {"schema": SCHEMA, **asdict(self)}
        if len(self.groups) == 1:
            for name in ("within", "constant"):
                del values["groups"][0][name]
        for group in values["groups"]:
            if group["withheld"] is None:
                del group["withheld"]
        for rare in ("held", "parts"):
            if (values.get("vpc") or {}).get(rare, ...) is None:
                del values["vpc"][rare]
        rarely = (
            "sample", "shares", "robust", "outcome_doubt", "residual", "residual_parameters",
            "contextual", "weights",
            "heterogeneity",
        )  # fmt: skip
        for rare in rarely:
            if values.get(rare, ...) is None:
                del values[rare]
        values = meaningful(values)
        return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

    def write(self, path: Path) -> None:
        write_text(path, self.to_json() + "\n")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The report that ``to_json`` wrote, as read from JSON.

        Raises
        ------
        ValueError
            Of another schema.
        KeyError, TypeError
            Of another form.
        """
        if values.get("schema") != SCHEMA:
            raise ValueError(f"fit.json has schema {values.get('schema')}, not {SCHEMA}")
        known = {part.name: values.get(part.name) for part in fields(cls)}
        typed: dict[str, Any] = {
            "groups": tuple(GroupReport.of(group) for group in values["groups"]),
            "fixed_terms": tuple(values["fixed_terms"]),
            "warnings": tuple(values["warnings"]),
        }
        if known["shares"] is not None:
            typed["shares"] = tuple(LevelShare.of(share) for share in known["shares"])
        if known["residual_parameters"] is not None:
            each = known["residual_parameters"]
            typed["residual_parameters"] = tuple(ResidualParameter(**values) for values in each)
        left_out = known.get("contextual")
        if left_out:
            typed["contextual"] = tuple(Contextual(**one) for one in left_out)
        for name, kind in _PARTS.items():
            part = known.get(name)
            if part is not None:
                typed[name] = kind(**part)
        return cls(**{**known, **typed})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The report in a file; raises what ``of`` does, and OSError."""
        return cls.of(json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class ModelReport(FitReport):
    """The fit of a configured model.

    ``x`` and ``by`` are the covariates of its figures; ``inference`` says by which df and intervals
    its tables are; ``gee`` the correlation of GEE beside the model's, empty if there are not both;
    ``vpc`` is that at the mean of x where one ICC does not exist; ``sample`` the rows and clusters
    kept of a data set that was read in chunks; ``robust`` says, of several factors, whose clusters
    robust errors are by; ``contextual`` are the means of covariates that the model leaves out.
    """

    model: str
    title: str
    dataset: str
    formula: str
    outcome: str
    x: str | None
    by: str | None
    inference: dict[str, str]
    gee: dict[str, float] | None
    vpc: ShareAt | None
    variance_function: Parabola | None
    sample: dict[str, int] | None = None
    robust: str | None = None
    contextual: tuple[Contextual, ...] | None = None


@dataclass(frozen=True)
class MemberReport(FitReport):
    """The fit of a member of a family of models."""

    model: str
    family: str
    member: str
    dataset: str
    file: str | None
    subset: str | None
    formula: str
    outcome: str
    inference: dict[str, str]
