"""R's own files: one data frame of an .rds or of a workspace (.RData)."""

from __future__ import annotations

import bz2
import contextlib
import datetime
import gzip
import lzma
import zoneinfo
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.data.raw import RawData, UnreadableError
from mixedflow.data.reading import Reading
from mixedflow.errors import nearest, quote

_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_PLAIN = (b"X\n", b"A\n", b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n")
_HINT = "in R: write.csv(x, 'x.csv', row.names = FALSE)"
_BLOCK, _SHOWN, _MOST_NAMED = 2**20, 3, 8
_MISSING_64 = np.iinfo(np.int64).min  # bit64's NA


def begins(head: bytes) -> bool:
    """Whether the first bytes may be those of such a file, which most often is compressed."""
    return head.startswith((*_OPENERS, *_PLAIN))


def workspace(path: Path, reading: Reading) -> RawData:
    """The data frame that the file holds, or the one that ``reading`` names.

    Factors become text, dates ISO text; what a column of a table cannot be is left out and said.

    Raises
    ------
    UnreadableError
        No data frame, one of several without a name, columns of one name.
    """
    import rdata

    content = _content(path, reading.most)
    kind = ".rda" if content.startswith(b"RD") else ".rds"  # whatever the file is called
    parsed = rdata.parser.parse_data(content, extension=kind)
    encoding = parsed.extra.encoding
    objects = {str(name): _Object(one, encoding) for name, one in _objects(parsed.object)}
    frames = [name for name, one in objects.items() if "data.frame" in one.classes]
    name = _chosen(reading.object, frames, objects)
    raw = _frame(objects[name], reading)
    others = [one for one in objects if one != name]
    said = [f"the data frame {quote(name)} was read, but not {_listed(others)}"] if others else []
    read_as = {"object": reading.object} if reading.object else {}
    return RawData(raw.frame, raw.variable_labels, raw.value_labels, notes=(*said, *raw.notes),
                   read_as=read_as)  # fmt: skip


def _content(path: Path, most: float) -> bytes:
    with path.open("rb") as stream:
        head = stream.read(6)
    opener = next((one for magic, one in _OPENERS.items() if head.startswith(magic)), None)
    content = bytearray()
    with opener(path) if opener else path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            content += block
            if len(content) > most:
                what = f"it unpacks to more than {most / 1e6:g} MB"
                raise UnreadableError(what, "raise max_mb if that is right")
    return bytes(content)


class _Bare(dict[Any, Any]):
    """What the library should make of a class: nothing but what lies under it."""

    def get(self, key: Any, default: Any = None) -> Any:
        return lambda value, attributes: value


class _Object:
    """An object of R, converted no further than it is asked for."""

    def __init__(self, parsed: Any, encoding: str | None) -> None:
        self.parsed, self.encoding = parsed, encoding
        from rdata.conversion import convert_attrs

        self.attributes: Mapping[str, Any] = convert_attrs(parsed, self.convert)
        self.classes = [str(one) for one in self.attributes.get("class", ())]

    def convert(self, part: Any) -> Any:
        import rdata

        return rdata.conversion.convert(part, _Bare(), default_encoding=self.encoding)

    @property
    def kind(self) -> str:
        """What it is, in R's words."""
        if self.classes:
            return self.classes[0]
        plain = "list" if isinstance(self.parsed.value, list) else "vector"
        return "matrix" if "dim" in self.attributes else plain

    @property
    def columns(self) -> list[_Object]:
        return [_Object(one, self.encoding) for one in self.parsed.value]

    def values(self) -> Any:
        """(N,) its values as an array, None for what is no plain vector."""
        found = self.convert(self.parsed)
        found = getattr(found, "values", found) if not isinstance(found, dict) else None
        plain = isinstance(found, np.ndarray) and found.ndim == 1 and found.dtype.kind in "biufOU"
        return found if plain else None


def _objects(parsed: Any) -> list[tuple[str, Any]]:
    """Names and objects of a workspace; the one object of an .rds has none."""
    import rdata

    pairs = rdata.parser.RObjectType.LIST
    if parsed.info.type is not pairs:
        return [("", parsed)]
    found = []
    while parsed.info.type is pairs:
        found.append((rdata.conversion.convert(parsed.tag), parsed.value[0]))
        parsed = parsed.value[1]
    return found


def _chosen(wanted: str | None, frames: list[str], objects: Mapping[str, _Object]) -> str:
    kinds = [f"{quote(name)} is {one.kind}" if name else one.kind for name, one in objects.items()]
    if not frames:
        raise UnreadableError(f"it holds no data frame ({', '.join(kinds[:_SHOWN])})", _HINT)
    if wanted is not None:
        if wanted not in frames:
            what = f"it holds no data frame {quote(wanted)}"
            raise UnreadableError(what, nearest(wanted, frames, "data frames"))
        return wanted
    if len(frames) > 1:
        what = f"it holds {len(frames)} data frames: {_listed(frames)}"
        raise UnreadableError(what, "name one in source.object, or keep one in a file of its own")
    return frames[0]


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return ", ".join(map(quote, names[:_MOST_NAMED])) + more


def _frame(table: _Object, reading: Reading) -> RawData:
    names = [str(name).strip() for name in table.attributes.get("names", ())]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        hint = "give each its own name: in R, names(x) <- make.unique(names(x))"
        raise UnreadableError(f"the column {quote(twice[0])} is there twice", hint)
    columns: dict[str, pd.Series] = {}
    notes = _row_names(table.attributes.get("row.names"))
    labels: dict[str, str] = {}
    value_labels: dict[str, dict[Any, str]] = {}
    for name, one in zip(names, table.columns, strict=True):
        values = one.values()
        is_name = name in reading.names
        read = None if values is None else _column(one, values, is_name)
        if read is None:
            notes.append(f"{quote(name)} is {one.kind}, which is no column of a table: left out")
            continue
        columns[name], note = read
        ordered = not is_name and name not in reading.levels
        notes += [f"{quote(name)}{note}"] if note and (ordered or not _is_factor(one)) else []
        label = one.attributes.get("label")
        if label is not None and len(label):
            labels[name] = str(label[0])
        if codes := _codes(one):
            value_labels[name] = codes
    return RawData(pd.DataFrame(columns), labels, value_labels, notes=tuple(notes))


def _row_names(names: Any) -> list[str]:
    """What to say of row names: numbers are those of the rows."""
    if names is None or not len(names) or not isinstance(names[0], str):
        return []
    return [f"the row names ({quote(str(names[0]))}, ...) were left out: in R, make them a column"]


def _codes(one: _Object) -> dict[Any, str]:
    """Value labels as the package haven keeps them."""
    found = one.attributes.get("labels")
    if found is None or not hasattr(found, "coords"):
        return {}
    texts = found.coords[found.dims[0]].values
    return {code: str(text) for code, text in zip(found.values.tolist(), texts, strict=True)}


def _is_factor(one: _Object) -> bool:
    return "factor" in one.classes


def _column(one: _Object, values: Any, is_name: bool) -> tuple[pd.Series, str] | None:
    """A column, and what to say of it; None for what none can be."""
    classes, missing = set(one.classes), np.ma.getmaskarray(values)
    if _is_factor(one):
        return _factor(one.attributes["levels"], values, missing)
    plain = np.ma.getdata(values)
    if classes & {"Date", "POSIXct"}:
        numbers = np.where(missing, np.nan, plain.astype("float64"))
        return _dates(numbers) if "Date" in classes else _times(numbers, one.attributes)
    if "POSIXlt" in classes:
        return None
    if "integer64" in classes:
        whole = pd.Series(plain.astype("float64").view("int64"))
        # As text, because with a missing one they would become float64, which rounds them.
        return whole.astype("str" if is_name else "Int64").mask(whole == _MISSING_64), ""
    note = ""
    if "difftime" in classes:
        note = f" is read in {one.attributes['units'][0]}"
    elif unknown := classes - {"haven_labelled", "vctrs_vctr", "labelled", "double", "integer",
                               "numeric", "character", "AsIs"}:  # fmt: skip
        note = f" is {sorted(unknown)[0]}: what lies under it was read"
    if plain.dtype.kind in "bi" and missing.any():
        plain = np.where(missing, np.nan, plain.astype("float64"))
    return pd.Series(plain), note


def _factor(levels: Any, codes: Any, missing: Any) -> tuple[pd.Series, str]:
    texts = [str(level) for level in levels]
    present = np.where(missing | (np.ma.getdata(codes) < 1), 0, np.ma.getdata(codes))
    found = pd.Series(np.array([None, *texts], dtype=object)[present], dtype=object)
    used = [text for text in texts if (found == text).any()]
    if used == sorted(used):
        return found, ""
    shown = ", ".join(map(quote, used[:_MOST_NAMED])) + (", ..." * (len(used) > _MOST_NAMED))
    return found, f" is a factor with the order {shown}: give levels to keep it"


def _dates(days: Any) -> tuple[pd.Series, str]:
    whole = np.floor(days, where=np.isfinite(days), out=np.full(len(days), np.nan))
    return pd.Series([_moment(86400 * day, datetime.UTC) for day in whole]), ""


def _times(seconds: Any, attributes: Mapping[str, Any]) -> tuple[pd.Series, str]:
    """Times as R shows them; without a zone of their own R's depend on the computer."""
    name = next(iter(attributes.get("tzone", ("",))), "") or ""
    zone: datetime.tzinfo = datetime.UTC
    if name:
        with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError):
            zone = zoneinfo.ZoneInfo(str(name))
    told = isinstance(zone, zoneinfo.ZoneInfo)
    return pd.Series([_moment(at, zone) for at in seconds]), "" if told else " was read in UTC"


def _moment(seconds: float, zone: datetime.tzinfo) -> str | None:
    """ISO text of seconds since 1970; None for what is missing or beyond the calendar."""
    if not np.isfinite(seconds):
        return None
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    try:
        found = (start + datetime.timedelta(seconds=float(seconds))).astimezone(zone)
    except OverflowError:
        return None
    if not found.utcoffset():
        found = found.replace(tzinfo=None)
    return found.isoformat(sep=" ").removesuffix(" 00:00:00")
