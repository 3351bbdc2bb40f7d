"""What cannot be scored is refused by every protocol in one line, never with a table of zeros."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.command import main


def rle(height: int = 20, width: int = 20, x: int = 2) -> dict[str, Any]:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[2:8, x : x + 6] = 1
    return {"size": [height, width], "counts": mask_api.encode(mask)["counts"].decode()}


Files = tuple[Any, Any]  # ground truth and results, before they are written


def mots() -> Files:
    """Two frames with one car, by sequence and then line."""
    lines = [f"{t} 1001 1 20 20 {rle()['counts']}" for t in range(2)]
    return {"0001": list(lines)}, {"0001": [line.replace("1001", "7") for line in lines]}


def write_mots(folder: Path, side: Any) -> Path:
    folder.mkdir()
    for name, lines in side.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def scalabel() -> Files:
    def frames() -> list[dict[str, Any]]:
        label = {"id": "1", "category": "car", "rle": rle()}
        return [
            {"name": f"{t}.jpg", "videoName": "v", "frameIndex": t, "labels": [dict(label)]}  #
            for t in range(2)
        ]

    return frames(), frames()


def ytvis() -> Files:
    videos = [{"id": 3, "width": 20, "height": 20, "length": 2, "file_names": ["v/0.jpg", "v/1.jpg"]}]
    track = {"video_id": 3, "category_id": 5, "segmentations": [rle(), rle()]}
    truth = {**track, "id": 1, "iscrowd": 0, "occlusion": ["no_occlusion"] * 2}
    return (
        {"videos": videos, "categories": [{"id": 5, "name": "fish"}], "annotations": [truth]},
        [{**track, "score": 0.5}],
    )


def coco() -> Files:
    thing = {"image_id": 3, "category_id": 5, "segmentation": rle()}
    images = [{"id": 3, "width": 20, "height": 20, "file_name": "3.jpg"}]
    truth = {**thing, "id": 1, "iscrowd": 0, "area": 36, "bbox": [2, 2, 6, 6]}
    return (
        {"images": images, "categories": [{"id": 5, "name": "fish"}], "annotations": [truth]},
        [{**thing, "score": 0.5}],
    )


def write_json(path: Path, side: Any) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps(side))
    return path


FORMATS: dict[str, tuple[Callable[[], Files], Callable[[Path, Any], Path]]] = {
    "kitti_mots": (mots, write_mots),
    "mots_tools": (mots, write_mots),
    "bdd100k_mots": (scalabel, write_json),
    "ytvis": (ytvis, write_json),
    "ovis": (ytvis, write_json),
    "coco": (coco, write_json),
    "coco_boundary": (coco, write_json),
}


def score(protocol: str, files: Files, folder: Path) -> int:
    _, write = FORMATS[protocol]
    gt, pred = (write(folder / name, side) for name, side in zip(("gt", "pred"), files, strict=True))
    return main([protocol, "--gt", str(gt), "--pred", str(pred), "--out", str(folder / "scores.json")])


@pytest.mark.parametrize("protocol", FORMATS)
def test_the_files_are_scored_before_they_are_spoiled(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(protocol, FORMATS[protocol][0](), tmp_path) == 0
    assert "error" not in capsys.readouterr().err
    best = json.loads((tmp_path / "scores.json").read_text())["classes"]
    name = "car" if "car" in best else "fish"
    assert best[name]["AP" if name == "fish" else "MOTSA"] == pytest.approx(1, abs=1e-15)


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    """A change: the entry at this path becomes `value`."""

    def change(side: Any) -> None:
        for key in path[:-1]:
            side = side[key]
        side[path[-1]] = value

    return change


def add_copy(*path: Any) -> Callable[[Any], None]:
    """A change: the last entry of the list at this path comes twice."""

    def change(side: Any) -> None:
        for key in path:
            side = side[key]
        side.append(json.loads(json.dumps(side[-1])))

    return change


def rename(old: str, new: str) -> Callable[[Any], None]:
    return lambda side: side.update({new: side.pop(old)})


def drop(*path: Any) -> Callable[[Any], None]:
    def change(side: Any) -> None:
        for key in path[:-1]:
            side = side[key]
        del side[path[-1]]

    return change


def line(**fields: Any) -> str:
    values = {"frame": 1, "id": 7, "category": 1, "height": 20, "width": 20, "counts": rle()["counts"]} | fields
    return " ".join(str(value) for value in values.values())


GT, PRED = 0, 1
MOTS = {
    "unknown class": (PRED, put("0001", 1, value=line(category=3)), r"0001\.txt, line 2.*class.* 3"),
    "wrong video name": (PRED, rename("0001", "0009"), "0001|0009"),
    "duplicate id": (PRED, add_copy("0001"), r"0001\.txt, line 3.*id 7"),
    "wrong mask size": (PRED, put("0001", 1, value=line(height=40, counts=rle(40)["counts"])), "40"),
    "frame outside": (PRED, put("0001", 1, value=line(frame=2)), r"line 2.*frame 2"),
    "broken mask": (PRED, put("0001", 1, value=line(counts="0`")), r"line 2.*cut off"),
    "no number": (PRED, put("0001", 1, value=line(id="x")), r"line 2"),
    "no sequences": (GT, rename("0001", ".hidden"), "gt"),
}
SCALABEL = {
    "unknown class": (PRED, put(1, "labels", 0, "category", value="dog"), "dog"),
    "wrong video name": (PRED, lambda side: [frame.update(videoName="w") for frame in side], "'?[vw]'?"),
    "duplicate id": (PRED, add_copy(1, "labels"), "id"),
    "wrong mask size": (PRED, put(1, "labels", 0, "rle", value=rle(40)), "40"),
    "missing frames": (PRED, drop(1), "frame"),
    "broken mask": (PRED, put(1, "labels", 0, "rle", "counts", value="0`"), "cut off"),
    "ground truth without labels": (GT, lambda side: [frame.pop("labels") for frame in side], "no object that counts"),
}
YTVIS = {
    "unknown class": (PRED, put(0, "category_id", value=6), r"\[0\]\.category_id is 6"),
    "wrong video name": (PRED, put(0, "video_id", value=4), r"\[0\]\.video_id is 4"),
    "duplicate id": (GT, add_copy("annotations"), r"annotations\[1\]\.id is 1"),
    "wrong mask size": (PRED, put(0, "segmentations", 1, value=rle(40)), r"\[0\]\.segmentations\[1\] has size \[40"),
    "missing frames": (PRED, drop(0, "segmentations", 1), r"has 1 entry, but video 3 has 2 frames"),
    "NaN score": (PRED, put(0, "score", value=float("nan")), r"\[0\]\.score is NaN"),
    "ground truth without annotations": (GT, put("annotations", value=None), "no annotations"),
    "ground truth of a test set": (GT, drop("annotations"), "no annotations"),
    "empty annotations": (GT, put("annotations", value=[]), "no annotations"),
}
COCO = {
    "unknown class": (PRED, put(0, "category_id", value=6), r"\[0\]\.category_id is 6"),
    "wrong image": (PRED, put(0, "image_id", value=4), r"\[0\]\.image_id is 4"),
    "duplicate id": (GT, add_copy("annotations"), r"annotations\[1\]\.id is 1"),
    "wrong mask size": (PRED, put(0, "segmentation", value=rle(40)), r"\[0\]\.segmentation has size \[40"),
    "NaN score": (PRED, put(0, "score", value=float("nan")), r"\[0\]\.score is NaN"),
    "ground truth without annotations": (GT, put("annotations", value=None), "no annotations"),
    "ground truth of a test set": (GT, drop("annotations"), "no annotations"),
    "empty annotations": (GT, put("annotations", value=[]), "no annotations"),
}
SPOILED = [
    pytest.param(protocol, *case, id=f"{protocol}, {name}")
    for protocols, cases in (
        (("kitti_mots", "mots_tools"), MOTS),
        (("bdd100k_mots",), SCALABEL),
        (("ytvis", "ovis"), YTVIS),
        (("coco", "coco_boundary"), COCO),
    )
    for protocol in protocols
    for name, case in cases.items()
]


@pytest.mark.parametrize(("protocol", "side", "spoil", "message"), SPOILED)
def test_what_cannot_be_scored_is_one_line_and_exit_2(
    protocol: str,
    side: int,
    spoil: Callable[[Any], None],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = FORMATS[protocol][0]()
    spoil(files[side])
    assert score(protocol, files, tmp_path) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1, printed.err
    assert re.search(message, printed.err), printed.err
    assert not (tmp_path / "scores.json").exists()
