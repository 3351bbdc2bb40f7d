"""OpenMMLab's config files as plain values, without running them: they are programs, and may come from anywhere.

What configs are made of is understood: literals, `dict(...)`, names assigned before, sums and slices of them, `**name`,
`_base_`, `_delete_`. Anything else is refused with its line; mmengine's `Config.fromfile` would execute it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vos_occ.structures.errors import InputError

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_CALLS: dict[str, Callable[..., Any]] = {"dict": dict, "list": list, "tuple": tuple}
_DEEPEST = 10  # levels of bases
_LONGEST = 10_000  # entries of a list that is written as a product


@dataclass(frozen=True)
class PlainConfig:
    """What a config file says, its bases included.

    Attributes:
        values: Name -> value, as `Config.fromfile` would give them.
        helpers: Names that entries of other names were written with, such as `img_norm_cfg`.
    """

    values: dict[str, Any]
    helpers: frozenset[str] = field(default_factory=frozenset)


def read_plain_config(path: str | Path, *, _depth: int = 0) -> PlainConfig:
    """Read a config file and its bases.

    Raises:
        InputError: a file is absent, is no Python, or does what would have to be run.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Config '{path}' does not exist. Give its path; bases stand where `_base_` says.")
    if _depth > _DEEPEST:
        raise InputError(f"Config '{path}' is a base of a base of a base ...: more than {_DEEPEST} levels.")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"Config '{path}' is no Python text: {error}.") from error
    reader = _Reader(path, _depth)
    for statement in sorted(tree.body, key=reader.names_bases, reverse=True):  # which others may quote from
        reader.take(statement)
    return PlainConfig(merged(reader.base, reader.names, str(path)), reader.helpers)


def _bases(named: Any, path: Path, depth: int) -> tuple[dict[str, Any], frozenset[str]]:
    """All bases in one; no name may be in two of them."""
    values: dict[str, Any] = {}
    helpers: frozenset[str] = frozenset()
    for name in named if isinstance(named, list | tuple) else [named]:
        if not isinstance(name, str):
            raise InputError(f"Config '{path}': `_base_` should name files, found {name!r}.")
        base = read_plain_config(path.parent / name, _depth=depth + 1)
        if twice := sorted(set(values) & set(base.values)):
            raise InputError(f"Config '{path}': two of its bases define `{twice[0]}`. Take it out of one.")
        values |= base.values
        helpers |= base.helpers
    return values, helpers


def merged(base: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`base` with `changes`: dicts entry by entry, unless the change says `_delete_=True`; all else is replaced.

    Raises:
        InputError: a dict stands where the base has none.
    """
    result = dict(deepcopy(base))
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(value, Mapping):
            deletes = value.get("_delete_", False)
            own = {key: entry for key, entry in value.items() if key != "_delete_"}
            if name in result and not deletes and not isinstance(old, dict):
                raise InputError(f"Config '{where}': `{name}` is a dict, but its base has {old!r}. Add _delete_=True.")
            kept = old if isinstance(old, dict) and not deletes else {}
            result[name] = merged(kept, own, where)
        else:
            result[name] = deepcopy(value)
    return result


def _assigned_name(statement: ast.stmt) -> str | None:
    """`x` of `x = ...`."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None


class _Reader:
    """Evaluates one file's statements."""

    def __init__(self, path: Path, depth: int) -> None:
        self.names: dict[str, Any] = {}
        self.base: dict[str, Any] = {}
        self.helpers: frozenset[str] = frozenset()
        self._path, self._depth = path, depth

    def names_bases(self, statement: ast.stmt) -> bool:
        """Whether it is `_base_ = ...`."""
        return _assigned_name(statement) == "_base_"

    def take(self, statement: ast.stmt) -> None:
        """One statement: an assignment, a change of what was assigned, or a docstring."""
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return
        try:
            if self._changes(statement):
                return
        except (TypeError, ValueError, KeyError) as error:
            text = ast.unparse(statement)
            raise InputError(
                f"Config '{self._path}', line {statement.lineno}: `{text[:80]}` fails: {error}."
            ) from error
        name = _assigned_name(statement)
        if name is None or not isinstance(statement, ast.Assign):
            raise self._refused(statement)
        known = self.helpers
        value = self.value(statement.value)
        if name not in known:
            self.helpers -= {name}  # `x = _base_.x + [...]` is no help to another entry
        if name == "_base_":
            self.base, inherited = _bases(value, self._path, self._depth)
            self.helpers |= inherited
        else:
            self.names[name] = value

    def _changes(self, statement: ast.stmt) -> bool:
        """Does `x.update(...)`, `x.pop("a")`, `x["a"] = ...` and `del x`, by which mmdet 3.x changes its bases."""
        if isinstance(statement, ast.Delete):
            for target in statement.targets:
                self._delete(target)
            return True
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
            place = statement.targets[0]
            self._dict_at(place.value)[self._index(place.slice)] = self.value(statement.value)
            return True
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return False
        if call.func.attr not in ("update", "pop"):
            return False
        changed, arguments = self._dict_at(call.func.value), [self.value(argument) for argument in call.args]
        if call.func.attr == "pop":
            changed.pop(*arguments)
        else:
            changed.update(*arguments, **self._keywords(call))
        return True

    def _delete(self, node: ast.expr) -> None:
        """`del x`, or `del _base_.x`: what is in the base is then not merged."""
        if isinstance(node, ast.Name):
            self.names.pop(node.id, None)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_base_":
            self.base.pop(node.attr, None)
        else:
            raise self._refused(node)

    def _dict_at(self, node: ast.expr) -> dict[Any, Any]:
        """A dict of this file itself, to be changed."""
        found: Any = None
        if isinstance(node, ast.Name):
            found = self.names.get(node.id)
        elif isinstance(node, ast.Attribute):
            found = self._dict_at(node.value).get(node.attr)
        elif isinstance(node, ast.Subscript):
            found = self._dict_at(node.value).get(self._index(node.slice))
        if not isinstance(found, dict):
            raise self._refused(node)
        return found

    def value(self, node: ast.expr) -> Any:
        """What an expression stands for."""
        try:
            return self._value(node)
        except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
            text = ast.unparse(node)
            raise InputError(f"Config '{self._path}', line {node.lineno}: `{text[:80]}` fails: {error}.") from error

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and not isinstance(node.value, bytes | complex):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            entries = [self._value(entry) for entry in node.elts]
            return entries if isinstance(node, ast.List) else tuple(entries)
        if isinstance(node, ast.Dict):
            return self._dict(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return self._arithmetic(node)
        return self._reference(node)

    def _reference(self, node: ast.expr) -> Any:
        """A name assigned before, part of one, or `_base_.name`, also in the braces of `{{_base_.name}}`."""
        if isinstance(node, ast.Set) and len(node.elts) == 1:
            return self._reference(node.elts[0])
        if isinstance(node, ast.Name) and node.id in self.names:
            self.helpers |= {node.id}
            return deepcopy(self.names[node.id])
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "_base_" and node.attr in self.base:
                self.helpers |= {node.attr}
                return deepcopy(self.base[node.attr])
            return self._reference(node.value)[node.attr]
        if isinstance(node, ast.Subscript):
            return self._reference(node.value)[self._index(node.slice)]
        raise self._refused(node)

    def _index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            return slice(*(None if part is None else self._value(part) for part in (node.lower, node.upper, node.step)))
        return self._value(node)

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            result |= self._value(value) if key is None else {self._value(key): self._value(value)}
        return result

    def _call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _CALLS or name in self.names or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._refused(node)
        return _CALLS[name](*(self._value(argument) for argument in node.args), **self._keywords(node))

    def _keywords(self, node: ast.Call) -> dict[str, Any]:
        """What a call is given by name, `**name` included."""
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self._value(keyword.value)
            keywords |= value if keyword.arg is None else {keyword.arg: value}
        return keywords

    def _arithmetic(self, node: ast.BinOp) -> Any:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(node.op, ast.Mult) and not all(isinstance(side, int | float) for side in (left, right)):
            many, times = (right, left) if isinstance(left, int) else (left, right)
            if not (isinstance(many, list | tuple) and isinstance(times, int) and len(many) * times <= _LONGEST):
                raise self._refused(node)  # [0] * 1000000000 is a line that fills the memory
        return _ARITHMETIC[type(node.op)](left, right)

    def _refused(self, node: ast.stmt | ast.expr) -> InputError:
        text = " ".join(ast.unparse(node).split())
        cure = "which is not done with other people's configs. Write the values themselves"
        return InputError(f"Config '{self._path}', line {node.lineno}: `{text[:80]}` would have to be run, {cure}.")
