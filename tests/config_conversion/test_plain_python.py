"""Config files are read without being run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vos_occ.config_conversion.plain_python import read_plain_config
from vos_occ.structures.errors import InputError


def read(folder: Path, text: str, **bases: str) -> dict[str, Any]:
    for name, base in bases.items():
        (folder / f"{name}.py").write_text(base)
    (folder / "config.py").write_text(text)
    return read_plain_config(folder / "config.py").values


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x = dict(a=1, b=[2, 3.0], c=('d', None))", {"a": 1, "b": [2, 3.0], "c": ("d", None)}),
        ("y = 1\nx = -y + 2 * 3 - 1.0 / 4 + 7 // 2", 7.75),
        ("root = 'data/vis_2019/'\nx = [root[-5:-1], root + 'a.json']", ["2019", "data/vis_2019/a.json"]),
        ("norm = dict(a=1)\nx = dict(type='N', **norm)", {"type": "N", "a": 1}),
        ("x = {'a': 1, 'b c': 2}", {"a": 1, "b c": 2}),
        ("count = 3\nx = [1.0] * count + 2 * [0]", [1.0, 1.0, 1.0, 0, 0]),
        ("'''What it is.'''\nx = ('one '\n     'text')", "one text"),
        ("y = dict(a=dict(b=1))\nx = y['a']['b']", 1),
    ],
)
def test_what_configs_are_made_of_is_understood(text: str, expected: Any, tmp_path: Path) -> None:
    assert read(tmp_path, text)["x"] == expected


def test_bases_are_merged_entry_by_entry_and_deleted_where_asked(tmp_path: Path) -> None:
    base = "model = dict(head=dict(a=1, b=2), neck=dict(c=3))\nsteps = [1, 2]\nkept = 'yes'"
    text = "_base_ = ['base.py']\nmodel = dict(head=dict(b=5), neck=dict(_delete_=True, d=4))\nsteps = [7]"
    assert read(tmp_path, text, base=base) == {
        "model": {"head": {"a": 1, "b": 5}, "neck": {"d": 4}},
        "steps": [7],
        "kept": "yes",
    }


def test_a_base_can_be_named_alone_and_quoted_from(tmp_path: Path) -> None:
    base = "pipeline = [1]\nmodel = dict(head=dict(size=7))"
    text = "_base_ = './base.py'\nx = {{_base_.pipeline}}\ny = _base_.model.head.size"
    values = read(tmp_path, text, base=base)
    assert (values["x"], values["y"]) == ([1], 7)


def test_names_that_others_were_written_with_are_known(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("norm = dict(a=1)\nx = dict(**norm)\ny = 2")
    assert read_plain_config(tmp_path / "config.py").helpers == {"norm"}


def test_what_is_written_with_itself_alone_is_an_entry_and_no_help(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("hooks = [1]\nsteps = [2]\n")
    text = "_base_ = 'base.py'\nhooks = _base_.hooks + [3]\nsteps = _base_.steps + [4]\nother = steps"
    (tmp_path / "config.py").write_text(text)
    config = read_plain_config(tmp_path / "config.py")
    assert config.values == {"hooks": [1, 3], "steps": [2, 4], "other": [2, 4]}
    assert config.helpers == {"steps"}


def test_an_update_takes_what_double_stars_unpack(tmp_path: Path) -> None:
    text = "extra = dict(y=2)\na = dict(x=1)\na.update(z=3, **extra)"
    assert read(tmp_path, text)["a"] == {"x": 1, "y": 2, "z": 3}


REFUSED = [
    "import os",
    "from os import system",
    "x = open('/etc/passwd')",
    "x = __import__('os').system('true')",
    "x = [i for i in range(3)]",
    "for i in []:\n    pass",
    "x = lambda: 1",
    "x = 'a' * 1000000000",
    "x = 1000000000 * [0]",
    "x = 9 ** 9 ** 9",
    "x, y = 1, 2",
    "x = dict.fromkeys([1])",
    "x = f'{1}'",
    "x = ().__class__",
    "dict = 1\nx = dict(a=1)",
    "x = unknown",
    "print('hello')",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_would_have_to_be_run_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    line = text.count("\n") + 2 if text.startswith("dict =") else 2
    with pytest.raises(InputError, match=rf"config\.py', line {line}: `.*would have to be run"):
        read(tmp_path, "a = 1\n" + text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = (", "is no Python text"),
        ("x = 1 / 0", "line 1: `1 / 0` fails: division by zero"),
        ("x = 'a' + 1", "fails"),
        ("_base_ = 'absent.py'", "absent.py' does not exist"),
        ("_base_ = ['one.py', 'two.py']", "two of its bases define `a`"),
        ("_base_ = 'one.py'\na = dict(b=1)", "`a` is a dict, but its base has 1"),
        ("_base_ = 'config.py'", "more than 10 levels"),
        ("_base_ = [1]", "`_base_` should name files, found 1"),
        ("_base_ = 1", "`_base_` should name files, found 1"),
    ],
)
def test_broken_configs_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, text, one="a = 1", two="a = 2")
    assert "\n" not in str(error.value)
