"""Occlusion levels from KITTI's tracking labels and from files of hidden fractions."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from eval.by_occlusion import KITTI_SCALE, RATE_SCALE
from eval.errors import SchemaError
from eval.readers.kitti_labels import find_occlusion_files
from eval.readers.mots import IGNORE_CLASS
from eval.readers.mots_files import find_mots_files

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
KITTI = SHARED / "data" / "kitti_mots_gt"
needs_kitti = pytest.mark.skipif(not KITTI.exists(), reason=f"no labels of KITTI at {KITTI}")


def label(frame: int, track: int, occluded: int, kind: str = "Car") -> str:
    """A line of label_02; what follows the first five columns is not looked at."""
    return f"{frame} {track} {kind} 0 {occluded} -1.5 10 20 30 40 1.5 1.6 3.9 2.0 1.7 20.0 -1.6"


LABELS = "\n".join([label(0, -1, -1, "DontCare"), label(0, -1, -1, "DontCare"), label(0, 3, 0), "", label(2, 3, 2)])
FRACTIONS = "0 1003 0\n1 1003 0.3\n2 1003 1.0\n"


def levels(folder: Path, text: str, frames: list[int], ids: list[int]) -> list[int]:
    folder.mkdir(exist_ok=True)
    (folder / "0004.txt").write_text(text)
    return find_occlusion_files(folder).levels("0004", np.array(frames), np.array(ids)).tolist()


def test_ids_of_masks_meet_labels_modulo_1000(tmp_path):
    # the last mask's object has another id, the one before no line in its frame
    found = levels(tmp_path, LABELS, [0, 2, 1, 2], [1003, 2003, 1003, 1004])
    assert found == [0, 2, KITTI_SCALE.not_labelled, KITTI_SCALE.not_labelled]


def test_ids_of_fractions_are_those_of_the_masks(tmp_path):
    found = levels(tmp_path, FRACTIONS, [0, 1, 2, 2], [1003, 1003, 1003, 2003])
    assert found == [0, 2, 4, RATE_SCALE.not_labelled]


@pytest.mark.parametrize(("text", "scale"), [(LABELS, KITTI_SCALE), (FRACTIONS, RATE_SCALE)])
def test_the_number_of_columns_tells_labels_from_fractions_even_behind_an_empty_file(tmp_path, text, scale):
    (tmp_path / "0000.txt").write_text("")
    (tmp_path / "0001.txt").write_text(text)
    files = find_occlusion_files(tmp_path)
    assert files.scale == scale
    assert files.levels("0000", np.array([0]), np.array([1003])).tolist() == [scale.not_labelled]


def test_a_zip_and_a_single_file_read_as_a_folder(tmp_path):
    (tmp_path / "0004.txt").write_text(LABELS)
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr("training/label_02/0004.txt", LABELS)
    for path in (tmp_path / "labels.zip", tmp_path / "0004.txt"):
        assert find_occlusion_files(path).levels("0004", np.array([2]), np.array([1003])).tolist() == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LABELS + "\n0 5 0.5", r"0004.txt, line 6: expected 17 columns as in the other files, found 3"),
        (FRACTIONS + label(0, 5, 0), r"line 4: expected 3 columns .*found 17"),
        ("0 1003 0 0", r"0004.txt, line 1: expected the 17 columns of KITTI's label_02, or 'frame id hidden', found 4"),
        (label(0, 3, 4), r"line 1: occluded is '4', expected 0, 1, 2 or 3"),
        (LABELS + "\n" + label(2, 3, 0), r"line 6: id 3 occurs twice in frame 2, first in line 5"),
        ("0 1003 1.2", r"line 1: the hidden fraction is '1.2', expected a number in \[0, 1\]"),
        ("0 1003 nan", r"line 1: the hidden fraction is 'nan'.*Leave out what is not known"),
        ("0 1003 much", r"line 1: the hidden fraction is 'much'"),
        ("0.5 1003 0", r"line 1: the frame is '0.5', expected a whole number"),
        ("0 car 0", r"line 1: the id is 'car', expected a whole number"),
        ("\n\n", r"has no line in any of its files"),
        ("7 1003 0.5", r"0004.txt: none of its 1 lines tells of one of the 1 true masks"),
        (label(0, 4, 0), r"Number frames and ids alike \(ids modulo 1000\)"),
    ],
)
def test_what_does_not_fit_is_named_with_file_line_and_cure(tmp_path, text, message):
    with pytest.raises(SchemaError, match=message):
        levels(tmp_path, text, [0], [1003])


def test_every_sequence_needs_a_file(tmp_path):
    (tmp_path / "0004.txt").write_text(LABELS)
    with pytest.raises(SchemaError, match="no occlusion levels of sequence 0005. Add 0005.txt"):
        find_occlusion_files(tmp_path).levels("0005", np.array([0]), np.array([1]))


@pytest.mark.parametrize("name", ["0004.txt", "0004/000000.png"])
def test_pictures_and_other_binary_files_are_no_labels(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(SchemaError, match="17 columns of KITTI's label_02, or 'frame id hidden'"):
        find_occlusion_files(tmp_path)


@needs_kitti
def test_38012_of_the_38275_masks_of_kitti_mots_have_a_label():
    masks, labels = find_mots_files(KITTI / "instances_txt.zip"), find_occlusion_files(KITTI / "label_02.zip")
    total = np.zeros(len(KITTI_SCALE), np.int64)
    for sequence in masks.files:
        rows = masks.read(sequence)
        named = rows.categories != IGNORE_CLASS
        found = labels.levels(sequence, rows.frames[named], rows.ids[named])
        total += np.bincount(found, minlength=len(KITTI_SCALE))
    assert dict(zip(KITTI_SCALE.rows, total.tolist(), strict=False)) == {
        "0 visible": 20986, "1 partly": 10430, "2 largely": 6072, "3 unknown": 524, "not labelled": 263,
    }  # fmt: skip
