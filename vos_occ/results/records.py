"""JSON text and the checks that the COCO-like dataset files share. Knows nothing of masks or videos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vos_occ.structures.errors import SchemaError


def to_json(value: object) -> str:
    """JSON text on one line; numpy values become plain ones.

    Raises:
        ValueError: on nan and infinity, which are not JSON: an undefined value is null.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def dataset_json(path: str | Path, content: Mapping[str, object]) -> str:
    """JSON text of a dataset file.

    Raises:
        SchemaError: if it holds nan or infinity.
    """
    try:
        return to_json(content)
    except ValueError as error:
        raise SchemaError(f"{path}: holds nan or infinity ({error}). Write null where a value is undefined.") from error


def index_by_id(path: str | Path, name: str, records: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Map each record's id to the record.

    Raises:
        SchemaError: if an id is missing, no integer, or used twice.
    """
    found: dict[int, Mapping[str, Any]] = {}
    for i, record in enumerate(records):
        key = record.get("id")
        if isinstance(key, bool) or not isinstance(key, (int, np.integer)):
            raise SchemaError(f"{path}: {name}[{i}].id is {key!r}, expected an integer. Number the records.")
        if key in found:
            raise SchemaError(f"{path}: {name}[{i}].id {key} is used twice. Ids must be unique.")
        found[int(key)] = record
    return found


def require_fields(path: str | Path, where: str, record: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise SchemaError unless the record has all these fields."""
    if missing := [name for name in names if record.get(name) is None]:
        raise SchemaError(f"{path}: {where}.{missing[0]} is missing. Readers of this format need it; add the field.")


def require_known(path: str | Path, where: str, key: object, known: Mapping[int, object], what: str) -> None:
    """Raise SchemaError unless `key` is one of the known ids."""
    if key not in known:
        raise SchemaError(f"{path}: {where} is {key!r}, but no {what} has this id. Add the {what} or fix the id.")


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
