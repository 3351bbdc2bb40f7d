"""JSON in pieces says what JSON as a whole says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eval.readers.stream
from eval.errors import SchemaError
from eval.readers.stream import read_item, stream_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def whole(document: Any) -> list[tuple[str, Any]]:
    if isinstance(document, list):
        return [(f"[{i}]", value) for i, value in enumerate(document)]
    found = []
    for name, value in document.items():
        if isinstance(value, list):
            found += [(f"{name}[{i}]", item) for i, item in enumerate(value)]
        else:
            found.append((name, value))
    return found


@settings(max_examples=150, deadline=None)
@given(
    document=st.lists(values, max_size=6) | st.dictionaries(st.text(max_size=4), values, max_size=6),
    indent=st.sampled_from([None, 1]),
    as_ascii=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_pieces_are_those_of_the_whole_whatever_the_window(
    tmp_path_factory: pytest.TempPathFactory, document: Any, indent: int | None, as_ascii: bool, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "document.json"
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=as_ascii), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eval.readers.stream, "_CHUNK", chunk)
        items = list(stream_json(path))
    assert [(item.where, item.value) for item in items] == whole(document)
    assert [read_item(path, item.offset, item.length) for item in items] == [item.value for item in items]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "neither a list nor an object"),
        ("12", "neither a list nor an object"),
        ("[1, 2", r"expected a comma or '\]' \(byte 5\)"),
        ('[{"a": 1}, {"a": ', r"expecting value \(byte 11\)"),
        ('{"a" 1}', "expected a name and a colon"),
        ('{"a": 1', "expected a comma or '}'"),
        ("[1, 2] 3", r"goes on after its end \(byte 7\)"),
        ("[1 2]", "expected a comma"),
        ("[1,]", "expecting value"),
    ],
)
def test_what_is_not_json_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(SchemaError, match=rf"broken\.json' is not valid JSON: .*{problem}"):
        list(stream_json(path))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes('["caf\u00e9"]'.encode("latin-1"))
    with pytest.raises(SchemaError, match="not UTF-8"):
        list(stream_json(path))


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "marked.json"
    path.write_text('[1, "\u00e9"]', encoding="utf-8-sig")
    assert [(item.value, item.offset) for item in stream_json(path)] == [(1, 4), ("\u00e9", 7)]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SchemaError, match="There is no file 'nowhere.json'"):
        next(iter(stream_json("nowhere.json")))
