"""One record of a JSON file, read field by field; every complaint names the field, the file and a cure."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from eval.errors import SchemaError

LARGEST_IMAGE = 100_000_000  # pixels, three times 8K; pycocotools takes memory for each of them where it merges masks
_LARGEST = int(sys.float_info.max)

Item = TypeVar("Item")


class HasId(Protocol):
    """What another record can point to."""

    @property
    def id(self) -> int: ...


Named = TypeVar("Named", bound=HasId)


@dataclass(frozen=True)
class Record:
    """A JSON object and where it stands.

    Attributes:
        values: The object.
        where: Its place in the file, such as "annotations[12]"; empty for the whole file.
        file: The file's name.
    """

    values: Mapping[str, Any]
    where: str
    file: str

    def error(self, field: str, problem: str, cure: str) -> SchemaError:
        """`annotations[12].segmentations has 30 entries (ovis_val.json). Give every frame an entry.`"""
        place = ".".join(part for part in (self.where, field) if part) or "The file"
        return SchemaError(f"{place} {problem} ({self.file}). {cure}")

    def integer(self, field: str) -> int:
        """An integer that must be there, and that 64 bits hold."""
        value = self._required(field)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(field, f"is {shown(value)}, expected an integer", "Correct the record.")
        if not -(1 << 63) <= value < 1 << 63:
            raise self.error(field, f"is {shown(value)}, more than 64 bits hold", "Correct the record.")
        return value

    def positive(self, field: str) -> int:
        """An integer of at least 1."""
        value = self.integer(field)
        if value < 1:
            raise self.error(field, f"is {value}, expected at least 1", "Correct or remove the record.")
        return value

    def extent(self) -> tuple[int, int]:
        """`height` and `width` of an image or a video, in pixels that masks can count."""
        height, width = self.positive("height"), self.positive("width")
        if height * width > LARGEST_IMAGE:
            raise self.error(
                "height", f"times width is {shown(height * width)}, expected at most {LARGEST_IMAGE}", "Correct it."
            )
        return height, width

    def number(self, field: str) -> float:
        """A finite number that must be there."""
        return self.finite(self._required(field), field)

    def any_number(self, field: str, missing: float | None = None) -> float:
        """A number that need not be finite, and may be missing if there is one to stand for it."""
        value = self.values.get(field, missing)
        return value if isinstance(value, float) else self.number(field)

    def finite(self, value: Any, field: str) -> float:
        """Check a value that was taken out of the record."""
        if not is_number(value):
            raise self.error(field, f"is {shown(value)}, expected a finite number", "Correct or remove the record.")
        return float(value)

    def size(self, field: str) -> float:
        """A finite number that must be there and is not negative, such as an area."""
        return self.not_negative(self._required(field), field)

    def not_negative(self, value: Any, field: str) -> float:
        """Check a size that was taken out of the record."""
        number = self.finite(value, field)
        if number < 0:
            raise self.error(field, f"is {shown(value)}, expected 0 or more", "Correct or remove the record.")
        return number

    def flag(self, field: str) -> bool:
        """0, 1, false or true; false where the field is missing."""
        value = self.values.get(field, 0)
        if value not in (0, 1):
            raise self.error(field, f"is {shown(value)}, expected 0 or 1", "Correct the record.")
        return bool(value)

    def text(self, field: str, default: str | None = None) -> str:
        """A string; must be there unless it has a default."""
        value = self._required(field) if default is None else self.values.get(field, default)
        if not isinstance(value, str):
            raise self.error(field, f"is {shown(value)}, expected a string", "Correct the record.")
        return value

    def entries(self, field: str, length: int, owner: str) -> list[Any]:
        """A list with one entry per frame."""
        value = self._required(field)
        if not isinstance(value, list):
            raise self.error(
                field, f"is {shown(value)}, expected a list with one entry per frame", "Correct or remove the record."
            )
        if len(value) != length:
            raise self.error(
                field,
                f"has {len(value)} {'entry' if len(value) == 1 else 'entries'}, but {owner} has {length} frames",
                "Write one entry per frame, null where the object is not there.",
            )
        return value

    def box(self, value: Any, field: str) -> tuple[float, float, float, float]:
        """(x, y, width, height) in pixels, width and height not negative."""
        if not isinstance(value, list) or len(value) != 4:
            raise self.error(field, f"is {shown(value)}, expected [x, y, width, height]", "Correct the record.")
        x, y, width, height = (self.finite(number, field) for number in value)
        if width < 0 or height < 0:
            raise self.error(field, f"is {shown(value)}, with a negative size", "Write [x, y, width, height].")
        return x, y, width, height

    def fraction(self, value: Any, field: str) -> float | None:
        """A number in [0, 1], or None where the file says null: unknown."""
        if value is None:
            return None
        number = self.finite(value, field)
        if not 0 <= number <= 1:
            raise self.error(field, f"is {shown(value)}, expected a fraction in [0, 1] or null", "Correct the record.")
        return number

    def ids(self, value: Any, field: str) -> list[int] | None:
        """A list of ids, or None where the file says null: unknown."""
        if value is not None and not (isinstance(value, list) and all(type(item) is int for item in value)):
            raise self.error(field, f"is {shown(value)}, expected a list of ids or null", "Correct the record.")
        return value

    def known(self, field: str, ids: Mapping[int, Any], what: str) -> int:
        """An id that another list of the file defines."""
        value = self.integer(field)
        if value not in ids:
            raise self.error(field, f"is {value}, but no {what} has this id", f"Add the {what} or remove the record.")
        return value

    def extra(self, *own: str) -> dict[str, Any]:
        """The fields that are not among `own`."""
        return {key: value for key, value in self.values.items() if key not in own}

    def _required(self, field: str) -> Any:
        if field not in self.values:
            raise self.error(field, "is missing", "Add the field or remove the record.")
        return self.values[field]


def is_number(value: Any) -> bool:
    """Whether a value is a number, not true or false, and one that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST


def shown(value: Any) -> str:
    """A value as JSON, cut to what fits a line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def load_json(path: str | Path) -> Any:
    """Parse a JSON file.

    Raises:
        SchemaError: There is no such file, or it is not JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise SchemaError(f"There is no file '{path}'. Check the path.")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise SchemaError(f"'{path}' is not valid JSON: {error}. Export or download it again.") from None
    except RecursionError:
        raise SchemaError(f"'{path}' nests lists or objects too deeply. Export or download it again.") from None


def load_object(path: str | Path) -> Record:
    """A JSON file that holds one object."""
    document = load_json(path)
    file = Path(path).name
    if not isinstance(document, dict):
        raise SchemaError(f"{file} holds {shown(document)}, expected a JSON object. Is it a results file?")
    return Record(document, "", file)


def records(value: Any, where: str, file: str) -> Iterator[Record]:
    """The JSON objects of a list.

    Args:
        value: The list.
        where: What it is called in its file; empty where it is the whole file.
        file: The file's name.
    """
    if not isinstance(value, list):
        raise SchemaError(f"{where or 'The file'} is {shown(value)}, expected a list ({file}). Correct the file.")
    for i, values in enumerate(value):
        yield as_record(values, f"{where}[{i}]", file)


def as_record(value: Any, where: str, file: str) -> Record:
    """A value that must be an object."""
    if not isinstance(value, dict):
        raise SchemaError(f"{where} is {shown(value)}, expected an object ({file}). Correct the record.")
    return Record(value, where, file)


def table(document: Record, field: str, read: Callable[[Record], Item]) -> tuple[Item, ...]:
    """Read a list of records that each have an id of their own."""
    if field not in document.values:
        raise document.error(field, "is missing", "Is this a file of another format?")
    seen: dict[int, str] = {}
    items = []
    for record in records(document.values[field], field, document.file):
        first = seen.setdefault(record.integer("id"), record.where)
        if first != record.where:
            raise record.error("id", f"is {record.integer('id')}, as that of {first}", "Give every record its own id.")
        items.append(read(record))
    return tuple(items)


def by_id(items: Iterable[Named]) -> dict[int, Named]:
    """Items by their `id`."""
    return {item.id: item for item in items}


@dataclass(frozen=True)
class Category:
    """A class of objects."""

    id: int
    name: str


def categories(document: Record) -> tuple[Category, ...]:
    """The field `categories` of a COCO-like file."""
    found = table(document, "categories", lambda record: Category(record.integer("id"), record.text("name")))
    refuse_same_names(document, [category.name for category in found])
    return found


def refuse_strangers(
    record: Record, field: str, behind: Sequence[int] | None, place_of: Mapping[int, int], own: int | None, place: int
) -> None:
    """An object is in front of others of its image or video, not of itself.

    Args:
        record: An annotation or a result.
        field: The field that says what it hides part of, for the error.
        behind: The ids of that, already read.
        place_of: The image or video of every annotated object by its id.
        own: The id of the object itself.
        place: Its image or video.

    Raises:
        SchemaError: One of the ids is of no such object.
    """
    for number in behind or ():
        if number == own or place_of.get(number) != place:
            problem = f"names {shown(number)}, which is no other object there"
            raise record.error(field, problem, "Correct the record.")


def refuse_same_names(document: Record, names: Sequence[str]) -> None:
    """Scores are told by the names of categories.

    Raises:
        SchemaError: Two have one name.
    """
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if first.setdefault(name, i) != i:
            problem = f"is {shown(name)}, as that of categories[{first[name]}]"
            raise document.error(f"categories[{i}].name", problem, "Give every category its own name.")


def numbers(value: Any) -> bool:
    """Whether a value is a list of finite numbers."""
    return isinstance(value, Sequence) and all(map(is_number, value))
