from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.errors import SchemaError
from eval.readers.labelme import read_labelme

SQUARE = [[1, 1], [3, 1], [3, 3], [1, 3]]


def shape(**changes: Any) -> dict[str, Any]:
    return {"label": "dog", "group_id": 7, "points": SQUARE, "shape_type": "polygon", "flags": {}} | changes


def png(*rows: str) -> str:
    file = io.BytesIO()
    Image.fromarray(np.array([[pixel == "#" for pixel in row] for row in rows], np.uint8)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def write(tmp_path: Path):
    """Writes frames f1.json, f2.json, ... of a picture of 6 x 4 pixels; answers with their folder."""

    def write(*frames: list[dict[str, Any]], **changes: Any) -> Path:
        folder = tmp_path / "walk"
        folder.mkdir(exist_ok=True)
        for number, shapes in enumerate(frames, start=1):
            size = {"imageHeight": 4, "imageWidth": 6, "imagePath": f"..\\pics\\f{number}.jpg"}
            (folder / f"f{number}.json").write_text(json.dumps({"shapes": shapes, **size, **changes}))
        return folder

    return write


def test_group_ids_are_tracks_and_frames_are_in_natural_order(write, picture) -> None:
    video = read_labelme(write(*[[shape()]] * 9, [shape(group_id=3, label="cat")]))
    assert video.frame_names[8:] == ("walk/f9.jpg", "walk/f10.jpg")
    assert [(track.id, track.label) for track in video.tracks] == [(3, "cat"), (7, "dog")]
    assert [mask is not None for mask in video.tracks[1].masks] == [True] * 9 + [False]
    assert picture(video.tracks[1].masks[0]) == ["......", ".##...", ".##...", "......"]
    assert video.classes == {"cat": 1, "dog": 2}


def test_shapes_of_one_group_are_parts_of_one_object(write, picture) -> None:
    other = shape(points=[[4, 0], [5, 1]], shape_type="rectangle")
    video = read_labelme(write([shape(), other]))
    assert picture(video.tracks[0].masks[0]) == ["....##", ".##.##", ".##...", "......"]


def test_a_mask_is_a_picture_at_a_place(write, picture) -> None:
    mask = shape(shape_type="mask", points=[[4, 2], [6, 3]], mask=png("#.#", ".##"))
    assert picture(read_labelme(write([mask])).tracks[0].masks[0]) == ["......", "......", "....#.", ".....#"]


def test_one_group_of_two_labels_is_two_objects(write) -> None:
    tracks = read_labelme(write([shape(), shape(label="cat")])).tracks
    assert [track.label for track in tracks] == ["cat", "dog"]
    assert len({track.id for track in tracks}) == 2
    assert [track.extra for track in tracks] == [{"group_id": 7}] * 2


def test_pictures_without_a_json_are_frames_without_objects(write) -> None:
    folder = write([shape()])
    (folder / "f0.png").touch()
    video = read_labelme(folder)
    assert video.frame_names == ("walk/f0.png", "walk/f1.jpg")
    assert video.tracks[0].masks[0] is None


def test_the_folder_where_one_stands_has_its_name(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write([shape()]))
    video = read_labelme(".")
    assert (video.name, video.frame_names, video.source) == ("walk", ("walk/f1.jpg",), "walk")


def test_what_macos_leaves_beside_files_is_no_frame(write) -> None:
    folder = write([shape()])
    for name in ("._f1.json", "._f0.jpg", ".DS_Store"):
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    assert read_labelme(folder).frame_names == ("walk/f1.jpg",)


def test_flags_by_the_names_of_ovis_are_its_labels(write) -> None:
    flagged = shape(flags={"slight_occlusion": True, "blurred": True}, description="far")
    facts = read_labelme(write([flagged], [shape()])).tracks[0].per_frame
    assert facts == {
        "occlusion": ("slight_occlusion", None),
        "flags": ({"blurred": True}, None),
        "description": ("far", None),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_id": None}, r"shapes\[0\] has no group_id.*Give every object a group id"),
        ({"shape_type": "line"}, r"shapes\[0\].shape_type is \"line\", expected one of polygon"),
        ({"points": [[1, 1], [2, 2]]}, r"expected a polygon"),
        ({"points": [[1, 1], "x"]}, r"shapes\[0\].points is .*expected a list of"),
        ({"points": SQUARE, "shape_type": "rectangle"}, r"has 4 points, expected two corners"),
        (
            {"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": png("#")},
            "mask is 1 x 1, but its points say 2 x 2",
        ),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "?"}, "mask is not base64"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "\u00e4"}, "mask is not base64"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "AAAA"}, "mask is no image in PNG format"),
        ({"label": None}, r"shapes\[0\].label is null, expected a string"),
    ],
)
def test_a_defect_is_named_with_its_place_and_cure(write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message) as error:
        read_labelme(write([shape(**changes)]))
    assert "f1.json" in str(error.value)


def test_frames_of_two_sizes_are_refused(write) -> None:
    folder = write([shape()], [shape()])
    content = json.loads((folder / "f2.json").read_text())
    (folder / "f2.json").write_text(json.dumps(content | {"imageHeight": 5}))
    with pytest.raises(SchemaError, match=r"5 x 6 \(height x width\), but f1.json is 4 x 6"):
        read_labelme(folder)


def test_a_file_without_shapes_is_none_of_labelme(write) -> None:
    with pytest.raises(SchemaError, match=r"shapes is null, expected a list \(f1.json\)"):
        read_labelme(write([shape()], shapes=None))


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="has no labelme files"):
        read_labelme(tmp_path)
