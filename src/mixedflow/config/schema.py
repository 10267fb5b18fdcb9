"""The schema of the configuration: its defaults, what it refuses, and in which words.

The schema in workflow/schemas is the only home of shapes, defaults and descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from mixedflow.errors import ConfigError, nearest, quote

_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}


@cache
def schema() -> dict[str, Any]:
    """The schema, from the repository or from an installed package."""
    package = Path(__file__).resolve().parents[1]
    for root in (package, package.parents[1]):
        path = root / "workflow" / "schemas" / "config.schema.yaml"
        if path.exists():
            fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=fast)
            return found
    raise ConfigError("mixedflow", "the schema of the configuration is not installed")


def resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference, and the branch of `anyOf` that is a mapping with keys of its own."""
    if "$ref" in node:
        return resolve(schema()["$defs"][node["$ref"].rsplit("/", 1)[1]])
    for branch in node.get("anyOf", ()):
        if "$ref" in branch:
            return resolve(branch)
    return node


def fill(value: Any, node: Mapping[str, Any]) -> Any:
    """``value`` with the schema's defaults, at every depth."""
    node = resolve(node)
    if isinstance(value, list) and "items" in node:
        return [fill(part, node["items"]) for part in value]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for key, part in node.get("properties", {}).items():
        if key not in filled and "default" in (whole := {**resolve(part), **part}):
            filled[key] = whole["default"]
        if key in filled:
            filled[key] = fill(filled[key], part)
    more = node.get("additionalProperties")
    if isinstance(more, Mapping):
        for key in filled.keys() - node.get("properties", {}).keys():
            filled[key] = fill(filled[key], more)
    return filled


def validate(config: Mapping[str, Any], origin: str) -> None:
    """Raise ConfigError for the first value, in the order of keys, that the schema refuses."""
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
