"""Canonical JSON and the way back from it to facts.

Canonical: keys sorted, no white space, ASCII with escapes, whole numbers only. One value has one
form, so a signature over the form is a signature over the value.
"""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
SCALARS = (int, str)


class NotCanonical(ValueError):
    """Bytes are not canonical JSON, or their value has another shape than the facts asked for."""


def dump(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def parse(data: bytes) -> Any:
    """The value of canonical JSON. Raises NotCanonical on any other form of it."""
    try:
        value = json.loads(data)
        same = dump(value) == data
    except (ValueError, RecursionError) as error:
        raise NotCanonical("it is not JSON") from error
    if not same:
        raise NotCanonical("it is JSON, though not in the canonical form")
    return value


def build(kind: type[T], value: object) -> T:
    """A dataclass from its mapping, every field known and of its declared type; one with a default may be missing."""
    built: T = _convert(kind, value, kind.__name__)
    return built


def field(kind: type, name: str, value: object) -> Any:
    """The value of one field of a dataclass, as in `build`."""
    return _convert(_hints(kind)[name], value, f"{kind.__name__}.{name}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _convert(hint: Any, value: Any, place: str) -> Any:
    if get_origin(hint) is types.UnionType:
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
        return None if value is None else _convert(hint, value, place)
    if get_origin(hint) is tuple and isinstance(value, list):
        inner = get_args(hint)[0]
        if inner in SCALARS and set(map(type, value)) <= {inner}:  # many, as a rule
            return tuple(value)
        return tuple(_convert(inner, item, f"{place}[{at}]") for at, item in enumerate(value))
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        hints = _hints(hint)
        names = {field.name for field in fields(hint)}
        needed = {field.name for field in fields(hint) if field.default is field.default_factory is MISSING}
        if not needed <= value.keys() <= names:
            raise NotCanonical(f"{place} has fields {sorted(value)}, expected {sorted(names)}")
        return hint(
            **{name: _convert(hints[name], found, f"{place}.{name}") for name, found in value.items()}
        )
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError as error:
            raise NotCanonical(f"{place} is not one of {[member.value for member in hint]}") from error
    if type(value) is hint:
        return value
    raise NotCanonical(f"{place} is {type(value).__name__}, expected {hint}")
