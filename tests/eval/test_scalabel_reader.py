"""Scalabel JSON: frames by video, masks of any form, and what does not fit named with its place."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

import eval.readers.scalabel
from eval.errors import SchemaError
from eval.image_ap import ImageObject, image_ap
from eval.masks import MaskTable, find_overlaps
from eval.protocols.bdd100k_rules import CLASSES, VOCABULARY
from eval.readers.bezier_polygon import BezierError, fill_polygons
from eval.readers.record import Record, load_object, records
from eval.readers.scalabel import ScalabelLabels
from eval.readers.scalabel_masks import Vocabulary, read_masks

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
INS_SEG = SHARED / "fixtures" / "scalabel_ins_seg"
SEG_TRACK = SHARED / "fixtures" / "scalabel_seg_track"
needs_ins_seg = pytest.mark.skipif(not INS_SEG.exists(), reason=f"no fixture of scalabel at {INS_SEG}")
needs_seg_track = pytest.mark.skipif(not SEG_TRACK.exists(), reason=f"no fixture of scalabel at {SEG_TRACK}")

ANIMALS = Vocabulary(("cat", "dog"), {"puppy": "dog"}, {"paw": "cat"}, height=6, width=8)
MASK = {"size": [4, 4], "counts": mask_api.encode(np.eye(4, dtype=np.uint8, order="F"))["counts"].decode()}


def label(name: Any = "1", category: Any = "cat", **fields: Any) -> dict[str, Any]:
    return {"id": name, "category": category, "rle": MASK, **fields}


def frame(video: Any, index: int | None, *labels: Any, name: str = "f") -> dict[str, Any]:
    return {"name": name, "videoName": video, "frameIndex": index, "labels": list(labels)}


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def read(*labels: Any, **options: Any) -> MaskTable:
    return read_masks([Record(frame("v", 3, *labels), "[0]", "x.json")], ANIMALS, "x.json, video v", **options)


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_frames_are_grouped_by_video_and_ordered_by_index(
    bare: bool, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval.readers.scalabel, "_KEPT", kept)
    frames = [frame("w", 1), frame("v", 7, label()), frame("w", 0), frame("v", 2)]
    labels = ScalabelLabels(written(tmp_path / "x.json", frames if bare else {"config": None, "frames": frames}))
    labels = pickle.loads(pickle.dumps(labels))
    assert labels.videos == ("v", "w")
    assert [record.values["frameIndex"] for record in labels.frames("v")] == [2, 7]
    assert [record.where for record in labels.frames("w")] == (["[2]", "[0]"] if bare else ["frames[2]", "frames[0]"])
    assert labels.frames("v")[1].values == frames[1]


def test_frames_without_an_index_keep_the_order_of_the_files(tmp_path: Path) -> None:
    for file, names in (("b", "ca"), ("a", "bd")):
        written(tmp_path / f"{file}.json", [frame("v", None, name=name) for name in names])
    assert [record.values["name"] for record in ScalabelLabels(tmp_path).frames("v")] == ["b", "d", "c", "a"]


def test_a_name_is_read_as_json_writes_it(tmp_path: Path) -> None:
    name = 'a "b" \\ \u00fc'
    assert ScalabelLabels(written(tmp_path / "x.json", [frame(name, 0)])).videos == (name,)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("no json", "is not valid JSON"),
        ('"text"', "The file is .* expected a list"),
        ('{"labels": []}', "x.json has no field 'frames'. Is it a Scalabel file"),
        ('[{"name": "f"}]', r"\[0\]\.videoName is null \(x.json\)\. Name the video"),
        ("[3]", r"\[0\] is 3, expected an object"),
    ],
)
def test_a_file_that_is_no_scalabel_is_refused(document: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(document)
    with pytest.raises(SchemaError, match=message):
        ScalabelLabels(tmp_path / "x.json")


@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_one_frame_without_a_video_is_named(kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval.readers.scalabel, "_KEPT", kept)
    path = written(tmp_path / "x.json", [frame("v", 0), frame("w", 0), frame(None, 1)])
    with pytest.raises(SchemaError, match=r"\[2\]\.videoName is null"):
        ScalabelLabels(path).frames("v")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="holds no .json files"):
        ScalabelLabels(tmp_path)


def test_categories_flags_and_ids() -> None:
    table = read(
        label("7", "puppy", attributes={"occluded": True, "crowd": False}),
        label("5", "paw", attributes={"truncated": 1}),
        label("9", "cat", attributes={"ignored": True, "crowd": True, "colour": "red"}),
        {"id": "11", "category": "cat", "box2d": {"x1": 0}},
    )
    assert (table.categories.tolist(), table.ids.tolist()) == ([1, 0, 0], [7, 5, 9])
    assert {name: flag.tolist() for name, flag in table.flags.items()} == {
        "ignored": [False, True, True],
        "crowd": [False, False, True],
        "occluded": [True, False, False],
        "truncated": [False, True, False],
    }
    assert (table.height, table.width, table.num_frames) == (4, 4, 1)
    assert table.where(2) == "x.json, video v, frame 3"


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["b", "a", "b"], [2, 1, 2]),
        (["10", "9", "x"], [1, 2, 3]),
        (["-1", "5", "-1"], [-1, 5, -1]),
        ([5, "5", 2**40], [5, 5, 2**40]),
        ([str(10**20), "1", str(10**20)], [1, 0, 1]),
    ],
)
def test_ids_are_numbers_or_numbered_by_name(names: list, ids: list[int]) -> None:
    assert read(*(label(name) for name in names)).ids.tolist() == ids


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (3, r"\[0\]\.labels\[0\] is 3, expected an object \(x.json\)"),
        (label(category="bird"), r'\[0\]\.labels\[0\]\.category is "bird", expected one of cat, dog, paw, puppy'),
        (label(category=None), "category is null"),
        (label(category=["cat"]), "category is .*expected one of"),
        (label(name=None), r"labels\[0\]\.id is null"),
        (label(rle=[1, 2]), r"labels\[0\]\.rle is \[1, 2\], expected"),
        (label(rle={"size": [4, 4], "counts": [16]}), "rle is .*expected"),
        (label(rle={"size": [4, -4], "counts": "0"}), "rle is .*expected"),
        (label(attributes=[1]), "attributes is .*expected an object"),
        (label(attributes={"crowd": "no"}), r'attributes\.crowd is "no", expected true or false'),
        (
            label(rle=None, poly2d=[{"vertices": [[0, 0]], "types": "L", "closed": False}]),
            r"poly2d\[0\]\.closed is false",
        ),
    ],
)
def test_a_wrong_label_is_named_with_its_place(wrong: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(wrong)


def test_a_mask_of_another_size_is_refused_or_if_official_empty() -> None:
    other = label(
        "2", rle={"size": [2, 2], "counts": mask_api.encode(np.ones((2, 2), np.uint8, order="F"))["counts"].decode()}
    )
    with pytest.raises(SchemaError, match=r"labels\[1\]\.rle\.size is \[2, 2\], but .* \[4, 4\]"):
        read(label(), other)
    table = read(label(), other, official=True)
    assert mask_api.area([table.rle(0), table.rle(1)]).tolist() == [4, 0]


def test_predictions_are_given_as_run_lengths_and_officially_numbered() -> None:
    polygon = {"vertices": [[0, 0], [4, 0], [4, 4]], "types": "LLL", "closed": True}
    with pytest.raises(SchemaError, match="poly2d is all there is of the mask"):
        read(label(rle=None, poly2d=[polygon]), predicted=True)
    with pytest.raises(SchemaError, match="the id 'a' is no number, as scalabel asks of predictions"):
        read(label("1"), label("a"), predicted=True, official=True)
    assert read(label("1"), label("a"), predicted=True).ids.tolist() == [1, 2]


def art(mask: np.ndarray) -> list[str]:
    return ["".join(".#"[pixel] for pixel in row) for row in mask]


def test_a_polygon_fills_what_it_touches_and_frames_have_the_size_of_the_vocabulary() -> None:
    square = {"vertices": [[1.4, 0.6], [5.6, 1.4], [6, 4], [1, 4]], "types": "LLLL", "closed": True}
    table = read(label(rle=None, poly2d=[square]))
    assert (table.height, table.width) == (6, 8)
    assert art(mask_api.decode(table.rle(0))) == [
        "........",
        ".#####..",
        ".#####..",
        ".#####..",
        "........",
        "........",
    ]


def test_polygons_are_drawn_at_the_size_that_a_frame_states_unless_official() -> None:
    square = {"vertices": [[1, 1], [3, 1], [3, 3], [1, 3]], "types": "LLLL", "closed": True}
    drawn = frame("v", 0, {"id": "1", "category": "cat", "poly2d": [square]}) | {"size": {"width": 9, "height": 5}}
    frames = [Record(drawn, "[0]", "x.json")]
    table = read_masks(frames, ANIMALS, "x.json, video v")
    assert (table.height, table.width) == (5, 9) and table.rle(0)["size"] == [5, 9]
    official = read_masks(frames, ANIMALS, "x.json, video v", official=True)
    assert (official.height, official.width) == (ANIMALS.height, ANIMALS.width)
    empty = read_masks([Record(drawn | {"labels": []}, "[0]", "x.json")], ANIMALS, "x.json, video v")
    assert (empty.height, empty.width) == (5, 9)


@pytest.mark.parametrize("size", [[5, 9], {"width": 9}, {"width": 0, "height": 5}])
def test_a_size_that_is_none_is_named(size: Any) -> None:
    with pytest.raises(SchemaError, match=r'size is .*, expected \{"width": pixels, "height": pixels\}'):
        read_masks([Record(frame("v", 0) | {"size": size}, "[0]", "x.json")], ANIMALS, "x.json, video v")


def test_a_curve_bends_towards_its_control_points() -> None:
    bent = {"vertices": [[0, 6], [0, 0], [8, 0], [8, 6]], "types": "LCCL", "closed": True}
    assert art(fill_polygons([bent], 6, 8)) == [
        "........",
        "..####..",
        "########",
        "########",
        "########",
        "########",
    ]


def test_polygons_that_overlap_are_one_mask_and_leave_the_image() -> None:
    first = {"vertices": [[-3, -3], [2, -3], [2, 2], [-3, 2]], "types": "LLLL", "closed": True}
    second = {"vertices": [[1, 1], [9, 1], [9, 9], [1, 9]], "types": "LLLL", "closed": True}
    assert art(fill_polygons([first, second], 3, 4)) == ["##..", "####", ".###"]


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ({}, r"poly2d is \{\}, expected a list"),
        ([3], r"poly2d\[0\] is 3, expected an object"),
        ([{"vertices": [[1]]}], r"poly2d\[0\]\.vertices is"),
        ([{"vertices": [[1, 2]], "types": "LL"}], r"poly2d\[0\]\.types is .* each of 1 vertices"),
    ],
)
def test_a_wrong_polygon_is_named(polygons: Any, message: str) -> None:
    with pytest.raises(BezierError, match=message):
        fill_polygons(polygons, 4, 4)


def test_polygons_are_drawn_as_matplotlib_draws_them() -> None:
    """As in scalabel 0.3.1, label/transforms.py, poly2ds_to_mask: a patch without edge, smoothing off, snapping on."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    pyplot.switch_backend("agg")
    rng = np.random.default_rng(0)
    differing = pixels = 0
    for k in range(12):
        vertices = rng.uniform(-20, 120, (6, 2)).tolist()
        types = "LLLLLL" if k % 2 else "LLCCLL"
        figure = pyplot.figure(figsize=(1, 0.8), dpi=100, facecolor="0")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 100), ylim=(80, 0))
        axes.axis("off")
        codes = [Curve.MOVETO, *(Curve.CURVE4 if t == "C" else Curve.LINETO for t in types[1:]), Curve.LINETO]
        patch = PathPatch(Curve([*vertices, vertices[0]], codes), facecolor="1", lw=0, antialiased=False, snap=True)
        axes.add_patch(patch)
        figure.canvas.draw()
        drawn = np.asarray(figure.canvas.buffer_rgba())[..., 0] > 0
        pyplot.close(figure)
        ours = fill_polygons([{"vertices": vertices, "types": types, "closed": True}], 80, 100)
        differing += int((drawn != ours).sum())
        pixels += int(drawn.sum())
    assert pixels > 10_000 and differing <= 8


@needs_seg_track
def test_polygons_of_bdd100k_resemble_their_run_lengths() -> None:
    """The fixture holds both; the run lengths were made by an older matplotlib, so they are only alike."""
    frames = list(records(json.loads((SEG_TRACK / "seg_track_sample.json").read_text())[:3], "", "gt"))
    without = [Record(without_rle(frame.values), frame.where, frame.file) for frame in frames]
    drawn, stored = (read_masks(side, VOCABULARY, "gt") for side in (without, frames))
    assert len(drawn) == len(stored) > 40
    ious = [mask_api.iou([drawn.rle(i)], [stored.rle(i)], [0])[0, 0] for i in range(len(drawn))]
    assert np.median(ious) > 0.98 and min(ious) > 0.8


def without_rle(values: Any) -> dict[str, Any]:
    return {**values, "labels": [{**entry, "rle": None} for entry in values["labels"] if entry["poly2d"]]}


@needs_seg_track
def test_overlapping_masks_are_noticed() -> None:
    """scalabel's overlap_masks.json: check_overlap answers True."""
    frames = list(records(json.loads((SEG_TRACK / "overlap_masks.json").read_text()), "", "overlap"))
    names = {entry["category"] for frame in frames for entry in frame.values["labels"]}
    assert len(find_overlaps(read_masks(frames, Vocabulary(tuple(sorted(names))), "overlap"))) == 1


@needs_ins_seg
def test_instance_segmentation_of_scalabels_fixture() -> None:
    """scalabel 0.3.1, tests/eval/ins_seg_test.py: COCO's AP on masks; crowds and ignored ones are crowds."""
    gt, pred = (instances(f"{name}.json") for name in ("ins_seg_rle_sample", "ins_seg_preds"))
    found = image_ap(gt, pred)
    expected = {
        "ap": 48.77227722772277, "ap50": 86.73267326732673, "ap75": 36.83168316831682, "ap_small": 0,
        "ap_medium": 53.399339933993396, "ap_large": 50.247524752475236, "ar1": 44.666666666666664,
        "ar10": 48.666666666666664, "ar100": 48.666666666666664,
    }  # fmt: skip
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value / 100, abs=1e-9), name
    per_class = {
        "pedestrian": 60.198019801980195, "rider": 49.99999999999999, "car": 33.66336633663366,
        "truck": 69.99999999999999, "bicycle": 29.999999999999993,
    }  # fmt: skip
    for name, value in per_class.items():
        assert found.per_category[CLASSES.index(name)] == pytest.approx(value / 100, abs=1e-9), name
    assert image_ap(gt, []).ap == 0


def instances(name: str) -> list[ImageObject]:
    """One image: the labels that have a mask, with their scores."""
    frames = list(records(load_object(INS_SEG / name).values["frames"], "frames", name))
    table = read_masks(frames, VOCABULARY, name)
    assert len(frames) == 1 and not len(find_overlaps(table))
    scores = [entry.get("score") for entry in frames[0].values["labels"] if entry["rle"] is not None]
    crowd = table.flags["crowd"] | table.flags["ignored"]
    return [
        ImageObject(0, int(category), table.rle(i), score=scores[i] or 1.0, iscrowd=bool(crowd[i]))
        for i, category in enumerate(table.categories)
    ]
