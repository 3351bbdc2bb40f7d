"""A config's dict of which every entry is taken once: what is left over in the end has no place here, and is listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vos_occ.structures.errors import InputError

_NO_PLACE = "has no place here"


class Conversion:
    """What the mapping of a config found.

    Attributes:
        unsupported: `key = value: why` for each entry that is not in the new config.
        notes: What is in it, but means something that whoever uses it should know.
    """

    def __init__(self) -> None:
        self.unsupported: list[str] = []
        self.notes: list[str] = []

    def leave_out(self, key: str, value: Any, why: str = _NO_PLACE) -> None:
        """Lists an entry."""
        text = repr(value)
        self.unsupported.append(f"{key} = {text if len(text) <= 70 else text[:67] + '...'}: {why}")

    def note(self, text: str) -> None:
        """Notes it once."""
        if text not in self.notes:
            self.notes.append(text)


class Section:
    """Entries that are waiting to be taken.

    Args:
        values: the dict; None where the config says None.
        path: how its place is called, such as `model.tracker`.
        conversion: takes what is left over.
    """

    def __init__(self, values: Mapping[str, Any] | None, path: str, conversion: Conversion) -> None:
        if values is not None and not isinstance(values, Mapping):
            raise InputError(f"`{path}` should be a dict, found {values!r}. Is it a config of mmtrack or mmdet 3.x?")
        self._values = {name: value for name, value in (values or {}).items() if name != "_scope_"}
        self.path = path
        self.conversion = conversion

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def place(self, name: str) -> str:
        """`model.tracker.name`."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str, default: Any = None) -> Any:
        """An entry, once; the default where it is absent."""
        return without_scopes(self._values.pop(name, default))

    def take_all(self) -> dict[str, Any]:
        """All that is left."""
        return {name: self.take(name) for name in list(self._values)}

    def section(self, name: str) -> Section:
        """An entry that is a dict; empty where it is absent or None."""
        return Section(self._values.pop(name, None), self.place(name), self.conversion)

    def expect(self, name: str, *accepted: Any, why: str) -> None:
        """Takes an entry that can only be one of `accepted` here; listed if it is another."""
        if name in self._values and (value := self.take(name)) not in accepted:
            self.conversion.leave_out(self.place(name), value, why)

    def kind(self, *known: str) -> str:
        """The entry `type`, without the scope of another package in front.

        Raises:
            InputError: it is none of `known`.
        """
        found = self.take("type")
        if not isinstance(found, str) or found.split(".")[-1] not in known:
            expected = " or ".join(known)
            raise InputError(f"`{self.place('type')}` is {found!r}, expected {expected}. Others are not converted.")
        return found.split(".")[-1]

    def refuse(self, why: str) -> None:
        """Lists all that is left, because of `why`."""
        for name, value in self.take_all().items():
            self.conversion.leave_out(self.place(name), value, why)

    def close(self) -> None:
        """Lists all that is left. None says nothing, and is not listed."""
        for name, value in self.take_all().items():
            if value is not None:
                self.conversion.leave_out(self.place(name), value)


def without_scopes(value: Any) -> Any:
    """A value without `_scope_`, which said in which package to look for a type; here that is always mmdet."""
    if isinstance(value, Mapping):
        return {name: without_scopes(entry) for name, entry in value.items() if name != "_scope_"}
    if isinstance(value, list | tuple):
        return type(value)(without_scopes(entry) for entry in value)
    return value
