"""Bitmasks of BDD100K: what their pixels say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.errors import SchemaError
from eval.evaluation import evaluate
from eval.masks import compare_masks
from eval.readers.bdd_bitmask import compare_codes, find_bitmasks, read_bitmasks, read_instances

# instance id of each pixel; 300 needs both bytes
TRUE = """
    .11....
    .11.22.
    .11.22.
    .....33
"""
FOUND = """
    .111...
    .111.2.
    .....2.
    333....
"""
IDS = {".": 0, "1": 300, "2": 7, "3": 2}
CATEGORY, ATTRIBUTES = {300: 3, 7: 1, 2: 8}, {300: 4, 7: 2, 2: 8 | 1}


def picture(art: str) -> np.ndarray:
    ids = np.array([[IDS[character] for character in row] for row in art.split()])
    result = np.zeros((*ids.shape, 4), np.uint8)
    for number in CATEGORY:
        result[ids == number] = (CATEGORY[number], ATTRIBUTES[number], number >> 8, number & 255)
    return result


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def plain(*instances: tuple[int, int, int], height: int = 8, width: int = 8) -> np.ndarray:
    """Instances of one row each: (id, category, attributes)."""
    result = np.zeros((height, width, 4), np.uint8)
    for row, (number, category, attributes) in enumerate(instances):
        result[row] = (category, attributes, number >> 8, number & 255)
    return result


def test_pixels_say_who_is_where(tmp_path: Path) -> None:
    found = read_instances(write(tmp_path / "a.png", picture(TRUE)))
    assert found.ids.tolist() == [2, 7, 300]
    assert found.categories.tolist() == [8, 1, 3]
    assert found.areas.tolist() == [2, 4, 6]
    assert found.ignored.tolist() == [True, True, False]


def test_two_pictures_share_pixels(tmp_path: Path) -> None:
    gt, pred, shared = compare_codes(
        write(tmp_path / "a.png", picture(TRUE)), write(tmp_path / "b.png", picture(FOUND))
    )
    assert pred.areas.tolist() == [3, 2, 6]
    assert shared.tolist() == [[0, 0, 0], [0, 2, 0], [0, 0, 4]]
    assert len(gt) == 3


def test_run_lengths_of_a_bitmask_share_the_same_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for side in ("gt", "pred"):
        numbers = rng.choice([0, 0, 5, 9, 260], (3, 12, 10))
        for t in range(3):
            pixels = np.zeros((12, 10, 4), np.uint8)
            pixels[..., 0] = (numbers[t] > 0) * 3
            pixels[..., 2], pixels[..., 3] = numbers[t] >> 8, numbers[t] & 255
            paths.append(write(tmp_path / side / f"{t}.png", pixels))
    gt, pred = read_bitmasks(paths[:3], "gt"), read_bitmasks(paths[3:], "pred")
    pairs = compare_masks(gt, pred)
    rows = 0
    for t in range(3):
        true, found, shared = compare_codes(paths[t], paths[3 + t])
        assert gt.ids[gt.frames == t].tolist() == true.ids.tolist()
        assert pairs.first_areas[gt.frames == t].tolist() == true.areas.tolist()
        frame = gt.frames[pairs.first] == t
        assert pairs.shared[frame].tolist() == shared[shared > 0].tolist()
        rows += len(found)
    assert len(pred) == rows


def test_flags_of_a_table(tmp_path: Path) -> None:
    table = read_bitmasks([write(tmp_path / "a.png", picture(TRUE))], "a")
    assert {name: flag.tolist() for name, flag in table.flags.items()} == {
        "ignored": [True, False, False],
        "crowd": [False, True, False],
        "occluded": [False, False, True],
        "truncated": [True, False, False],
    }


def test_videos_are_folders(tmp_path: Path) -> None:
    for name in ("b/0.png", "a/1.png", "a/0.png"):
        write(tmp_path / name, plain())
    assert {video: list(frames) for video, frames in find_bitmasks(tmp_path).items()} == {"a": ["0", "1"], "b": ["0"]}
    with pytest.raises(SchemaError, match="no .png files below"):
        find_bitmasks(tmp_path / "none")


CAR = (5, 3, 0)
REFUSED: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "a missing frame": ({"v/0.png": plain(CAR)}, r"1 of 2 frames are missing: 1\."),
    "a frame too many": (
        {f"v/{t}.png": plain(CAR) for t in range(3)}, "has frames that .* does not have: 2",
    ),
    "a missing video": ({"w/0.png": plain(CAR), "w/1.png": plain(CAR)}, "does not have: w"),
    "a video too many": (
        {f"{video}/{t}.png": plain(CAR) for video in "vw" for t in range(2)}, "does not have: w",
    ),
    "another size": (
        {f"v/{t}.png": plain(CAR, width=9) for t in range(2)}, r"has 8 x 9 pixels \(height x width\), but .* has 8 x 8",
    ),
    "an unknown category": ({f"v/{t}.png": plain((5, 9, 0)) for t in range(2)}, r"category 9, expected 1\.\.8"),
    "no category": ({f"v/{t}.png": plain((5, 0, 0)) for t in range(2)}, r"category 0, expected 1\.\.8"),
    "two categories of one instance": (
        {f"v/{t}.png": plain(CAR, (5, 4, 0)) for t in range(2)}, "instance 5 has pixels of two categories",
    ),
    "a picture without an alpha channel": (
        {f"v/{t}.png": plain(CAR)[..., :3] for t in range(2)}, "is of mode RGB, expected RGBA",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_with_one_line(case: str, tmp_path: Path) -> None:
    files, message = REFUSED[case]
    for t in range(2):
        write(tmp_path / "gt" / "v" / f"{t}.png", plain(CAR))
    for name, pixels in files.items():
        write(tmp_path / "pred" / name, pixels)
    with pytest.raises(SchemaError, match=message) as error:
        evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred")
    assert "\n" not in str(error.value)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "gt" / "v" / "0.png", plain(CAR))
    (tmp_path / "pred" / "v").mkdir(parents=True)
    (tmp_path / "pred" / "v" / "0.png").write_bytes(b"no picture")
    with pytest.raises(SchemaError, match=r"0\.png cannot be read as PNG"):
        evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred")


def test_a_missing_video_counts_as_empty_where_that_is_allowed(tmp_path: Path) -> None:
    for name in ("gt/v/0", "gt/w/0", "pred/v/0"):
        write(tmp_path / f"{name}.png", plain(CAR))
    scores = evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred", allow_missing=True)
    assert (scores.overall["TP"], scores.overall["FN"]) == (1, 1)
    assert scores.warnings == ("1 of 2 videos have no predictions and count as empty: w.",)


def test_compat_official_compares_by_position_leaves_out_frames_too_many_and_fails_beyond_100(tmp_path: Path) -> None:
    """golden_quirks/ignore_union_case.txt: 120 predictions in a frame are an IndexError, a missing frame fails too."""
    write(tmp_path / "gt" / "v" / "0.png", plain(CAR))
    for t in range(2):
        write(tmp_path / "pred" / "other" / f"{t}.png", plain(CAR))
    scores = evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred", compat="official")
    assert scores.overall["MOTSA"] == 1 and "their names differ: other" in scores.warnings[0]
    many = plain(*((k + 1, 3, 0) for k in range(120)), height=120)
    write(tmp_path / "gt" / "v" / "0.png", many)
    write(tmp_path / "pred" / "other" / "0.png", many)
    with pytest.raises(SchemaError, match="120 predictions; bdd100k's evaluator fails beyond 100"):
        evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred", compat="official")
    (tmp_path / "pred" / "other" / "0.png").unlink()
    with pytest.raises(SchemaError, match="1 of 1 frames are missing"):
        evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred", compat="official")


def test_compat_official_leaves_out_categories_that_are_none(tmp_path: Path) -> None:
    """As bdd100k 1.0.1, eval/mots.py: objects are looked for class by class."""
    for t in range(2):
        write(tmp_path / "gt" / "v" / f"{t}.png", plain(CAR))
        write(tmp_path / "pred" / "v" / f"{t}.png", plain(CAR if t else (5, 9, 0)))
    overall = evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred", compat="official").overall
    assert (overall["TP"], overall["FN"], overall["FP"]) == (1, 1, 0)


def test_more_than_100_predictions_of_a_frame_count(tmp_path: Path) -> None:
    for side in ("gt", "pred"):
        write(tmp_path / side / "v" / "0.png", plain(*((k + 1, 3, 0) for k in range(120)), height=120))
    assert evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred").overall["TP"] == 120


def test_two_ignored_regions_do_not_cover_together(tmp_path: Path) -> None:
    gt, pred = np.zeros((2, 20, 20, 4), np.uint8)
    gt[:4, :4] = pred[:4, :4] = (3, 0, 0, 1)
    gt[10:14, :10], gt[16:20, :10] = (1, 2, 0, 7), (1, 2, 0, 8)
    pred[10:20, :10] = (3, 0, 0, 2)
    for side, pixels in (("gt", gt), ("pred", pred)):
        write(tmp_path / side / "v" / "0.png", pixels)
    assert evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred").overall["FP"] == 1
    gt[14:16, :10] = (1, 2, 0, 7)
    write(tmp_path / "gt" / "v" / "0.png", gt)
    assert evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred").overall["FP"] == 0
