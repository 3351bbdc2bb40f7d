"""MOTS files: text, images, folders and zips say the same, and what does not fit is named with its place."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.mots import _parse_lines, _parse_regular, parse_mots
from eval.readers.mots_files import find_mots_files, read_seqmap
from eval.readers.mots_png import masks_of, parse_mots_png

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
SEQMAPS = SHARED / "fixtures" / "mots_tools_seqmaps"
LINE = "0 1001 1 375 1242 abc\n"

LABELS = np.array(
    [
        [0, 1001, 1001, 0, 10000],
        [0, 1001, 2003, 0, 10000],
        [0, 0, 2003, 0, 1001],
    ]
)

numbers = st.integers(0, 10**12)
codes = st.text([chr(c) for c in range(48, 112)], min_size=1, max_size=12)
lines = st.lists(st.tuples(numbers, numbers, numbers, numbers, numbers, codes), max_size=8)


@settings(deadline=None, max_examples=60)
@given(lines)
def test_both_ways_to_read_a_file_agree(rows: list) -> None:
    data = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    whole, by_line = _parse_regular(data, "a.txt"), _parse_lines(data, "a.txt")
    assert whole is not None
    assert (
        whole.numbers.tolist() == by_line.numbers.tolist() == np.array([r[:5] for r in rows]).reshape(-1, 5).T.tolist()
    )
    assert whole.counts == by_line.counts == [row[5] for row in rows]
    assert whole.lines.tolist() == by_line.lines.tolist()


@pytest.mark.parametrize(
    "text",
    ["0 1 1 4 5 ab\r\n1 1 1 4 5 cd\r\n", "0  1 1 4 5 ab\n\n 1 1 1 4 5 cd \n", "+0 1 1 4 5 ab\n1 01 1 4 5 cd"],
    ids=["windows", "spaces and an empty line", "signs and no end of line"],
)
def test_unusual_spacing_changes_nothing(text: str) -> None:
    rows = parse_mots(text.encode(), "a.txt")
    assert rows.numbers.T.tolist() == [[0, 1, 1, 4, 5], [1, 1, 1, 4, 5]]
    assert rows.counts == ["ab", "cd"]


def test_lines_are_numbered_as_an_editor_does() -> None:
    assert parse_mots(b"\n0 1 1 4 5 ab\n\n1 1 1 4 5 cd\n", "a.txt").lines.tolist() == [2, 4]


def test_an_empty_file_has_no_rows() -> None:
    table = parse_mots(b"", "a.txt").table(num_frames=4)
    assert (len(table), table.num_frames) == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 1 4 5\n", "a.txt, line 1: expected 'frame id class height width counts', found 5 fields"),
        (LINE + "0 1 1 4 5 ab c\n", "a.txt, line 2: expected .* found 7 fields"),
        (LINE + LINE + "0 car 1 4 5 ab\n", "a.txt, line 3: the id is 'car', expected a whole number"),
        ("0.0 1 1 4 5 ab\n", "a.txt, line 1: the frame is '0.0', expected a whole number"),
        ("0 1 1 4 - ab\n", "a.txt, line 1: the width is '-', expected a whole number"),
        ("0 1234567890123456789 1 4 5 ab\n", "a.txt, line 1: the id is '1234567890123456789', expected a whole"),
    ],
)
def test_a_line_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        parse_mots(text.encode(), "a.txt")


def test_a_file_of_another_kind_is_named() -> None:
    with pytest.raises(SchemaError, match="a.txt is not a MOTS text file"):
        parse_mots(b"\x89PNG\r\n\x1a\n\x00", "a.txt")


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"line 2: the mask is 4 x 6 .* from line 1 on, have 4 x 5"):
        parse_mots(b"0 1 1 4 5 ab\n0 2 1 4 6 ab\n", "a.txt").table()
    with pytest.raises(SchemaError, match=r"the mask is 0 x 5"):
        parse_mots(b"0 1 1 0 5 ab\n", "a.txt").table()


def test_rows_come_in_frame_order_and_keep_the_order_of_the_file_within() -> None:
    table = parse_mots(b"2 5 1 4 5 c\n1 9 1 4 5 a\n2 3 2 4 5 d\n1 7 2 4 5 b\n", "a.txt").table(first_frame=1)
    assert (table.frames.tolist(), table.ids.tolist()) == ([0, 0, 1, 1], [9, 7, 5, 3])
    assert (list(table.counts), table.num_frames) == (["a", "b", "c", "d"], 2)
    assert table.where(3) == "a.txt, line 3"


def test_masks_of_a_label_map_are_its_pixels() -> None:
    masks = masks_of(LABELS)
    assert list(masks) == [1001, 2003, 10000]
    for value, counts in masks.items():
        assert (mask_api.decode({"size": [3, 5], "counts": counts}) == (value == LABELS)).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_label_maps_encode_as_pycocotools_does(height: int, width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 3), min_size=height * width, max_size=height * width))
    labels = np.array(values).reshape(height, width)
    for value, counts in masks_of(labels).items():
        encoded = mask_api.encode(np.asfortranarray((labels == value).astype(np.uint8)))
        assert counts == encoded["counts"].decode()


def test_images_and_text_are_the_same_rows(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "0003"
    folder.mkdir(parents=True)
    for t in range(2):
        Image.fromarray(LABELS.astype(np.uint16) * t).save(folder / f"{t:06d}.png")
    rows = find_mots_files(tmp_path / "images").read("0003")
    masks = masks_of(LABELS)
    text = "".join(f"1 {value} {value // 1000} 3 5 {counts}\n" for value, counts in masks.items())
    same = parse_mots(text.encode(), "0003.txt")
    assert rows.numbers.tolist() == same.numbers.tolist()
    assert rows.counts == same.counts
    assert rows.table().where(0) == "0003, image 1"


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_what_the_writer_of_images_wrote_reads_back(data: st.DataObject) -> None:
    from vos_occ.results import MotsPngWriter
    from vos_occ.structures import FrameResult, rle

    owners = np.array(data.draw(st.lists(st.integers(0, 3), min_size=30, max_size=30))).reshape(5, 6)
    ids, labels = [4, 998, 17], [0, 1, 1]
    masks = [rle.encode(owners == k + 1) for k in range(3)]
    result = FrameResult(0, 5, 6, ids, labels, [0.5] * 3, np.zeros((3, 4), np.float32), masks)
    with tempfile.TemporaryDirectory() as folder:
        MotsPngWriter(Path(folder) / "0001").write(result)
        table = find_mots_files(Path(folder)).read("0001").table()
    shown = [k for k in np.argsort([1004, 2998, 2017]) if (owners == k + 1).any()]
    assert table.categories.tolist() == [labels[k] + 1 for k in shown]
    assert (table.ids % 1000).tolist() == [ids[k] for k in shown]
    for row, k in enumerate(shown):
        assert (mask_api.decode(table.rle(row)) == (owners == k + 1)).all()


def test_images_that_do_not_fit_are_named(tmp_path: Path) -> None:
    def encoded(array: np.ndarray) -> bytes:
        path = tmp_path / "image.png"
        Image.fromarray(array).save(path)
        return path.read_bytes()

    good = encoded(np.zeros((3, 4), np.uint16))
    with pytest.raises(SchemaError, match=r"0001/000001.png is 4 x 3 .* before are 3 x 4"):
        parse_mots_png([(0, "000000", good), (1, "000001", encoded(np.zeros((4, 3), np.uint16)))], "0001")
    with pytest.raises(SchemaError, match="0001/000000.png has pixels of mode RGB, expected 16-bit grey"):
        parse_mots_png([(0, "000000", encoded(np.zeros((3, 4, 3), np.uint8)))], "0001")
    with pytest.raises(SchemaError, match="0001/000000.png is no image, or is cut off"):
        parse_mots_png([(0, "000000", good[:40])], "0001")


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    for name in ("000000", "000002"):
        (tmp_path / "0001").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((3, 4), np.uint16)).save(tmp_path / "0001" / f"{name}.png")
    with pytest.raises(SchemaError, match="has no image of frame 1 of sequence 0001"):
        find_mots_files(tmp_path)


@pytest.mark.parametrize("prefix", ["", "instances_txt/", "a/b/"])
def test_a_zip_is_read_as_a_folder_at_any_depth(tmp_path: Path, prefix: str) -> None:
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        for name in ("0002", "0001"):
            archive.writestr(f"{prefix}{name}.txt", LINE)
        archive.writestr(f"{prefix}occlusions/0001occlusions.txt", "[True]")
        archive.writestr(f"__MACOSX/{prefix}._0001.txt", "")
    with zipfile.ZipFile(tmp_path / "gt.zip") as archive:
        archive.extractall(tmp_path / "gt")
    for path in (tmp_path / "gt.zip", tmp_path / "gt"):
        files = find_mots_files(path)
        assert list(files.files) == ["0001", "0002"]
        assert files.read("0001").counts == ["abc"]
        assert repr(files) == f"MotsFiles({str(path)!r}: 2 sequences)"


def test_a_single_text_file_is_a_sequence(tmp_path: Path) -> None:
    (tmp_path / "0007.txt").write_text(LINE)
    assert find_mots_files(tmp_path / "0007.txt").read("0007").ids.tolist() == [1001]


def test_a_place_without_sequences_or_with_two_of_a_name_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="has no sequences. Expected 0001.txt"):
        find_mots_files(tmp_path)
    (tmp_path / "gt.tar").write_bytes(b"x")
    with pytest.raises(SchemaError, match="is neither a folder nor a zip nor a .txt file"):
        find_mots_files(tmp_path / "gt.tar")
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "0001.txt").write_text(LINE)
    with pytest.raises(SchemaError, match="has sequence 0001 twice: 'train/0001.txt' and 'val/0001.txt'"):
        find_mots_files(tmp_path)


def test_lengths_come_from_seqinfo(tmp_path: Path) -> None:
    (tmp_path / "0002" / "gt").mkdir(parents=True)
    (tmp_path / "0002" / "gt" / "gt.txt").write_text(LINE)
    assert find_mots_files(tmp_path).length("0002", first_frame=1) is None
    (tmp_path / "0002" / "seqinfo.ini").write_text("[Sequence]\nseqLength = 600\n")
    assert find_mots_files(tmp_path).length("0002", first_frame=1) == 600
    assert find_mots_files(tmp_path).length("0002", first_frame=0) == 601  # frame 0 is there, but empty
    (tmp_path / "0002" / "seqinfo.ini").write_text("[Sequence]\nframes = 600\n")
    with pytest.raises(SchemaError, match="0002/seqinfo.ini states no seqLength"):
        find_mots_files(tmp_path).length("0002", first_frame=1)


def test_seqmaps_of_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text("1 empty 000000 000446\n0003 empty 000000 000000\n")
    assert read_seqmap(path, first_frame=0) == {"0001": 447, "0003": 1}
    path.write_text("0002 empty 000001 000600\n")
    assert read_seqmap(path, first_frame=1, header=True) == {"0002": 600}
    path.write_text("name\nMOTS20-02\n\n")
    assert read_seqmap(path, first_frame=1, header=True) == {"MOTS20-02": None}


@pytest.mark.skipif(not SEQMAPS.exists(), reason=f"no seqmaps of mots_tools at {SEQMAPS}")
@pytest.mark.parametrize(
    ("name", "first_frame", "sequences", "frames"),
    [
        ("fulltrain.seqmap", 0, 21, 8008),
        ("train.seqmap", 0, 12, 5027),
        ("val.seqmap", 0, 9, 2981),
        ("test.seqmap", 0, 29, 11095),
        ("val_MOTSchallenge.seqmap", 1, 4, 2862),
        ("test_MOTSchallenge.seqmap", 1, 4, 3044),
    ],
)
def test_published_seqmaps_have_the_lengths_of_the_benchmarks(
    name: str, first_frame: int, sequences: int, frames: int
) -> None:
    lengths = read_seqmap(SEQMAPS / name, first_frame, header=first_frame == 1)
    assert len(lengths) == sequences
    assert sum(length or 0 for length in lengths.values()) == frames
    if name == "val.seqmap":
        assert " ".join(lengths) == "0002 0006 0007 0008 0010 0013 0014 0016 0018"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0001 empty 000000\n", "line 1: expected 'name' or 'name empty 000000 LAST_FRAME'"),
        ("0001 empty 000000 last\n", "line 1: expected 'name' or"),
        ("0001 empty 000000 000003\n1 empty 000000 000003\n", "line 2: sequence 0001 occurs twice"),
        ("\n", "lists no sequences"),
    ],
)
def test_a_seqmap_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map").write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_seqmap(tmp_path / "map", first_frame=0)
