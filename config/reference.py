"""Writes docs/configuration.md from the settings model: `python -m gateway.config.reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config.settings import Settings

PAGE = Path("docs/configuration.md")

HEAD = """\
# Configuration

This page is generated from the settings model by `make docs`.

HushTap reads one TOML file: the one named by `--config FILE`, else by the environment variable
`HUSHTAP_CONFIG`, else `hushtap.toml` in the working folder. Where there is none, the defaults below hold and
everything written lies under `./hushtap-data`. A file names only what differs from the defaults; a name that is
not on this page is an error, never ignored. Relative paths are relative to the file's folder.

`hushtap check-config` reads the file and says what is wrong with it, a sentence for each fault.

A small file:

```toml
[sip]
address = "0.0.0.0"

[media]
address = "192.0.2.10"     # what recording clients send audio to

[storage]
directory = "/var/lib/hushtap"
```
"""

PLAIN: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
}
BOUNDS = {"ge": "at least {:,}", "gt": "more than {:,}", "le": "at most {:,}", "lt": "less than {:,}"}


def page() -> str:
    """The whole page, Markdown."""
    sections = (text for name, field in Settings.model_fields.items() for text in _sections(name, field))
    return "\n".join([HEAD, *sections])


def _sections(name: str, field: FieldInfo) -> Iterator[str]:
    """A section and those within it."""
    if found := kinds(field):
        for kind in found:
            yield _section(f"[{name}]", kind, kind.model_fields)
        return
    model = _model(field)
    if model is None:
        raise TypeError(f"settings.{name} is not a section")
    inner = {setting: info for setting, info in model.model_fields.items() if _model(info)}
    yield _section(name, model, {k: info for k, info in model.model_fields.items() if k not in inner})
    for setting, info in inner.items():
        yield from _sections(f"{name}.{setting}", info)


def _model(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def kinds(field: FieldInfo) -> list[type[BaseModel]]:
    """What a list of tables may hold; none where it is no such list."""
    if get_origin(field.annotation) is not tuple:
        return []
    item = get_args(field.annotation)[0]
    item = get_args(item)[0] if get_origin(item) is Annotated else item
    options = get_args(item) if get_origin(item) is UnionType else (item,)
    return [kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _section(name: str, model: type[BaseModel], fields: dict[str, FieldInfo]) -> str:
    lines = [
        f"## [{name}]",
        "",
        cleandoc(model.__doc__ or ""),
        "",
        "| setting | value | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += (_row(setting, info) for setting, info in fields.items())
    return "\n".join([*lines, ""])


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{name}`", _values(field), _default(field.default), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(field: FieldInfo) -> str:
    return ", ".join([_type(field.annotation), *_bounds(field.metadata)])


def _bounds(metadata: list[object]) -> Iterator[str]:
    for bound in metadata:
        for attribute, words in BOUNDS.items():
            limit = getattr(bound, attribute, None)
            if limit is not None:
                yield words.format(limit)


def _type(annotation: object) -> str:
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    match get_origin(annotation):
        case origin if origin is Literal:
            return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
        case origin if origin in (UnionType, Union):
            return _type(arguments[0])
        case origin if origin is tuple:
            return f"list of {_type(arguments[0])}"
        case origin if origin is Annotated:
            return _type(arguments[0])
        case origin if origin is dict:
            return f"table, a {_type(arguments[1])} under each name"
        case _:
            return PLAIN[annotation]


def _default(value: object) -> str:
    match value:
        case None:
            return "unset"
        case _ if value is PydanticUndefined:
            return "must be set"
        case tuple():
            return (
                "`[" + ", ".join(f"'{item}'" if isinstance(item, str) else str(item) for item in value) + "]`"
            )
        case Path() | str():
            return f'`"{value}"`'
        case _:
            return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
