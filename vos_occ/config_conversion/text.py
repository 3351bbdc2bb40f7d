"""Plain values as the text of a config file, in the form that configs here have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

WIDTH = 116
_INDENT = "    "


def assignments(values: Mapping[str, Any]) -> str:
    """`name = value` for each entry, dicts as `dict(...)`."""
    return "".join(f"{name} = {_text(value, '', len(name) + 3)}\n" for name, value in values.items())


def _text(value: Any, indent: str, before: int) -> str:
    """On one line if it fits behind `before` characters, else an entry a line."""
    line = _line(value)
    if len(indent) + before + len(line) < WIDTH or not isinstance(value, Mapping | list | tuple) or not value:
        return line
    inner = indent + _INDENT
    if isinstance(value, Mapping) and _are_names(value):
        entries = [f"{name}={_text(entry, inner, len(name) + 1)}" for name, entry in value.items()]
        opening, closing = "dict(", ")"
    elif isinstance(value, Mapping):
        entries = [f"{name!r}: {_text(entry, inner, len(repr(name)) + 2)}" for name, entry in value.items()]
        opening, closing = "{", "}"
    else:
        entries = [_text(entry, inner, 0) for entry in value]
        opening, closing = "[]" if isinstance(value, list) else "()"
    return "\n".join([opening, *(f"{inner}{entry}," for entry in entries), indent + closing])


def _line(value: Any) -> str:
    if isinstance(value, Mapping) and _are_names(value):
        return f"dict({', '.join(f'{name}={_line(entry)}' for name, entry in value.items())})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_line(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_line, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_line, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, str) and value.isprintable():
        return json.dumps(value, ensure_ascii=False)  # in double quotes, and read alike by Python
    return repr(value)


def _are_names(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and name.isidentifier() and not iskeyword(name) for name in value)
