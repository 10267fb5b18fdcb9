"""A configuration file -> plain data -> defaults filled in -> checked specifications.

Everything here runs at each start of Snakemake, so it imports neither numpy nor pandas.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from mixedflow.config import order, schema, uses
from mixedflow.config.checks import comparisons, datasets, families, models, names, structures
from mixedflow.config.specs import Config
from mixedflow.errors import ConfigError, nearest, quote

_ODD_NUMBER = re.compile(r"[-+]?0[0-7_]+$|.*:")  # octal, and to the base of 60
_QUOTES = "put it in quotes"
_MOST_VALUES, _MOST_LEVELS = 100_000, 50  # of a configuration


def read(path: Path | str) -> Config:
    """Read and check a configuration file; raises ConfigError as ``parse`` and ``load`` do."""
    return load(parse(path), str(path))


def working_folder(path: Path | str) -> Path:
    """Where the paths of a configuration start: beside its Snakefile, else the current folder."""
    beside = Path(path).parent
    return beside if (beside / "Snakefile").is_file() else Path()


class _Loader(yaml.SafeLoader):
    """YAML's plain data; an error is a key that stands twice, or what YAML 1.1 takes otherwise."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same in C; what it cannot read the other tells in better words."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # `<<`: what it brings in may be overridden
        key = loader.construct_object(key_node)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be plain text", key_node.start_mark
            )
        if isinstance(key, bool):
            what = f"YAML reads the name {key_node.value} as {str(key).lower()}; {_QUOTES}"
            raise yaml.constructor.ConstructorError(None, None, what, key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {quote(key)} stands twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """A number as people read it: 0360 is 240 to YAML, and so is 4:00."""
    if _ODD_NUMBER.match(node.value):
        what = f"YAML does not read {node.value} as it looks; {_QUOTES}, or write another number"
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
    integer = node.tag.endswith(":int")
    return (loader.construct_yaml_int if integer else loader.construct_yaml_float)(node)


for _loader in (_Loader, _FastLoader):
    _loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
    _loader.add_constructor("tag:yaml.org,2002:int", _number)
    _loader.add_constructor("tag:yaml.org,2002:float", _number)


def parse(path: Path | str) -> Any:
    """The plain data of a configuration file.

    Raises
    ------
    ConfigError
        Missing, not YAML, or with a key that stands twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        if len(text) > _MOST_VALUES and _scalars(text) > _MOST_VALUES:
            raise _too_many(str(path))
        with contextlib.suppress(Exception):
            return yaml.load(text, Loader=_FastLoader)
        return yaml.load(text, Loader=_Loader)
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(str(path), "there is no such file", _beside(Path(path))) from None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text") from None
    except Exception as error:
        # Beside YAMLError whatever the constructors of numbers, dates and the like raise.
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        what = f"not valid YAML: {' '.join(str(problem).split())}"
        raise ConfigError(f"{path}{place}", what, _mended(problem)) from None


def _scalars(text: str) -> int:
    """How many keys and values a text has, counted in C before anything is made of them."""
    found = 0
    with contextlib.suppress(yaml.YAMLError):
        for event in yaml.parse(text, Loader=_FastLoader):
            found += isinstance(event, yaml.ScalarEvent)
    return found


def _too_many(where: str) -> ConfigError:
    what = f"more than {_MOST_VALUES} values or {_MOST_LEVELS} levels"
    return ConfigError(where, what, "are there anchors (&, *) that repeat themselves?")


def _beside(path: Path) -> str:
    """The nearest configuration in the folder of one that is not there, or how to begin one."""
    if not path.parent.is_dir():
        return "nor is there its folder"
    known = sorted(p.name for p in path.parent.glob("[!.]*") if p.suffix in (".yaml", ".yml"))
    begin = "mixedflow init FILE --outcome Y --cluster G begins one"
    return nearest(path.name, known, "configurations here") or begin


def _mended(problem: str) -> str:
    """What is meant most often where YAML's own words name a symptom."""
    if "'\\t'" in problem:
        return "indent with blanks: tabs are not allowed"
    if "mapping values are not allowed" in problem:
        return "a text with a colon and a blank in it goes into quotes"
    return ""


def load(config: Any, origin: str = "config.yaml") -> Config:
    """Check a configuration that has been parsed, and fill its defaults.

    Raises
    ------
    MixedflowError
        One line: the key, what is wrong, and the nearest right thing.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(origin, "a configuration is a mapping with the keys datasets and models")
    config = _plain(config, origin, ())
    schema.validate(config, origin)
    return _checked(_canonical(schema.fill(config, schema.schema())), origin)


def _plain(
    value: Any, origin: str, path: tuple[str, ...], budget: Iterator[int] | None = None
) -> Any:
    """A copy of what JSON can hold and UTF-8 can write, its keys text; the rest is refused.

    ``budget`` is used up by anchors that repeat themselves without end.
    """
    budget = budget or iter(range(_MOST_VALUES))
    if next(budget, None) is None or len(path) > _MOST_LEVELS:
        raise _too_many(origin)
    if isinstance(value, Mapping):
        copied = {}
        for key, part in value.items():
            if isinstance(key, bool):  # read by Snakemake, which has forgotten the word
                words = "yes, on or true" if key else "no, off or false"
                where = f"{origin}: {'.'.join(path)}" if path else origin
                raise ConfigError(where, f"YAML reads the name {words} as {key}", _QUOTES)
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


def _canonical(filled: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the specifications: parts know their names, and the order of keys is gone."""
    return {
        **filled,
        "datasets": {
            name: _titled(name, part) | {"derive": [(n, str(t)) for n, t in part["derive"].items()]}
            for name, part in filled["datasets"].items()
        },
        "models": {
            name: _titled(name, part) | {"rank": _rank(part["rank"])}
            for name, part in filled["models"].items()
        },
        "families": {
            name: _family(_titled(name, part)) for name, part in filled["families"].items()
        },
        "structures": {
            name: _structures(_titled(name, part)) for name, part in filled["structures"].items()
        },
        "comparisons": {
            name: {**part, "name": name} for name, part in filled["comparisons"].items()
        },
    }


def _titled(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part, "name": name, "title": part["title"] or name}


def _rank(rank: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not rank:
        return None
    kept = {key: value for key, value in rank.items() if key != "with"}
    return {**kept, "added": rank["with"], "beside": order.beside(rank["beside"])}


def _family(part: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in part.items() if key not in ("dataset", "for")}
    given = part["dataset"]
    listed = [given] if isinstance(given, str) else given
    return {**kept, "datasets": listed, **order.members(part["for"], part["formula"])}


def _structures(part: Mapping[str, Any]) -> dict[str, Any]:
    fits = [{**fit, "name": name} for name, fit in sorted(part["fits"].items())]
    return {**part, "fits": fits}


def _checked(values: Mapping[str, Any], origin: str) -> Config:
    """What the schema cannot say: names that must exist, expressions, formulas, comparability."""
    for kind in ("datasets", "models", "families", "structures", "comparisons"):
        names.distinct(f"{origin}: {kind}", values[kind])
    names.folder(f"{origin}: results", values["results"])
    checked = {
        name: datasets.checked(f"{origin}: datasets.{name}", part)
        for name, part in values["datasets"].items()
    }
    for kind in ("models", "families"):
        for name, part in values[kind].items():
            models.check_residual(f"{origin}: {kind}.{name}.residual", part["residual"])
    for name, part in values["models"].items():
        where = f"{origin}: models.{name}"
        models.check_gee(f"{where}.inference.gee", part["inference"]["gee"])
        models.check_weights(f"{where}.weights", part["weights"])
    for name, part in values["structures"].items():
        for fit in part["fits"]:
            where = f"{origin}: structures.{name}.fits.{fit['name']}.residual"
            models.check_residual(where, fit["residual"])
    config = Config.of({**values, "datasets": checked})
    parsed = {
        name: models.parsed(f"{origin}: models.{name}", model, config.datasets)
        for name, model in config.models.items()
    }
    config = replace(config, models=models.with_clusters(config.models, parsed))
    of_families = {
        name: families.parsed(f"{origin}: families.{name}", family, config.datasets)
        for name, family in config.families.items()
    }
    of_structures = {
        name: structures.parsed(f"{origin}: structures.{name}", one, config.datasets)
        for name, one in config.structures.items()
    }
    config = replace(config, structures=structures.placed(config.structures, config.datasets))
    for name, comparison in config.comparisons.items():
        where = f"{origin}: comparisons.{name}"
        comparisons.check(where, comparison, config.models, config.datasets, parsed)
    return uses.noted(config, parsed, of_families, of_structures)
