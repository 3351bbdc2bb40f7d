"""BDD100K's bitmasks and Scalabel JSON, read back by the evaluator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from eval.masks import MaskTable, find_overlaps
from eval.protocols.bdd100k_rules import CLASSES, VOCABULARY
from eval.readers.bdd_bitmask import find_bitmasks, read_bitmasks, read_instances
from eval.readers.bezier_polygon import fill_polygons
from eval.readers.scalabel import ScalabelLabels
from eval.readers.scalabel_masks import read_masks
from vos_occ.results import BddBitmaskWriter, ScalabelWriter, join_scalabel
from vos_occ.results.bdd_objects import FLAG_BITS
from vos_occ.results.pixel_outlines import pixel_outlines
from vos_occ.structures import FrameResult, InputError, OutputExistsError, UserError, rle

HEIGHT, WIDTH = 6, 7
SHORT = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frame(
    index: int, masks: list[np.ndarray], ids: list[int] | None = None, labels=None, scores=None, height=HEIGHT
) -> FrameResult:
    count = len(masks)
    codes = [rle.encode(mask) for mask in masks]
    return FrameResult(
        index,
        height,
        WIDTH,
        np.array(range(1, count + 1) if ids is None else ids, np.int64),
        np.zeros(count, np.int64) if labels is None else np.array(labels, np.int64),
        np.ones(count, np.float32) if scores is None else np.array(scores, np.float32),
        np.array([rle.bounding_box(code) for code in codes], np.float32).reshape(-1, 4),
        codes,
    )


def art(text: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in text.split()])


LEFT = art("##..... ##..... ##..... ....... ....... .......")
MIDDLE = art(".##.... .##.... .##.... ....... ....... .......")
NOTHING = art(" ".join(["......."] * HEIGHT))


def read_json(path: Path, video: str = "v", predicted: bool = False) -> MaskTable:
    return read_masks(
        ScalabelLabels(path).frames(video), VOCABULARY, path.name, predicted=predicted, official=predicted
    )


masks = hnp.arrays(np.bool_, (HEIGHT, WIDTH))
things = st.tuples(masks, st.integers(0, 7), st.sampled_from([0.2, 0.5, 0.9]), st.integers(0, 15))
videos = st.lists(st.lists(things, max_size=4), min_size=1, max_size=3)


def painted(table: MaskTable, first_category: int) -> np.ndarray:
    """(T, H, W, 3) id, category and attributes of every pixel."""
    image = np.zeros((table.num_frames, HEIGHT, WIDTH, 3), np.int64)
    for row in range(len(table)):
        bits = sum(int(table.flags[name][row]) * bit for name, bit in FLAG_BITS.items())
        mask = rle.decode(table.rle(row))
        assert mask.any()
        image[table.frames[row]][mask] = (table.ids[row], table.categories[row] + 1 - first_category, bits)
    return image


@SHORT
@given(video=videos, first_id=st.sampled_from([1, 250, 65500]))
def test_both_formats_say_the_same_of_every_pixel(tmp_path, video, first_id):
    bitmasks = BddBitmaskWriter(tmp_path / "v", CLASSES, overwrite=True)
    with ScalabelWriter(tmp_path / "v.json", CLASSES, video="v", overwrite=True) as scalabel:
        for t, objects in enumerate(video):
            flags = {
                name: np.array([bool(bits & bit) for *_, bits in objects], bool) for name, bit in FLAG_BITS.items()
            }
            ids = [first_id + 9 * i for i in range(len(objects))]
            result = frame(t, *[[o[k] for o in objects] for k in (0,)], ids, *[[o[k] for o in objects] for k in (1, 2)])
            bitmasks.write(result, flags)
            scalabel.write(result, flags)
    bitmasks.close()
    pictures = find_bitmasks(tmp_path)["v"]
    assert list(pictures) == [f"v-{t + 1:07d}" for t in range(len(video))]
    from_pixels, from_json = read_bitmasks(pictures), read_json(tmp_path / "v.json")
    if not len(from_json):
        assert not len(from_pixels)
        return
    np.testing.assert_array_equal(painted(from_pixels, 1), painted(from_json, 0))
    assert not len(find_overlaps(from_json))


def test_pixels_hold_category_attributes_and_an_id_of_two_bytes(tmp_path):
    writer = BddBitmaskWriter(tmp_path / "v", ["rider", "train"])
    flags = {"truncated": np.array([True, False]), "crowd": np.array([False, True])}
    path = writer.write(frame(0, [LEFT, ~LEFT & (MIDDLE | LEFT)], [300, 7], [0, 1]), flags)
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        pixels = np.asarray(image)
    assert path.name == "v-0000001.png"
    assert pixels[0, 0].tolist() == [2, 8, 300 >> 8, 300 & 255]
    assert pixels[0, 2].tolist() == [6, 2, 0, 7]
    assert pixels[5, 5].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("scores", "areas"), [([0.9, 0.4], [6, 3]), ([0.4, 0.9], [3, 6])])
def test_where_masks_overlap_the_higher_score_wins(tmp_path, scores, areas):
    result = frame(0, [LEFT, MIDDLE], scores=scores)
    found = read_instances(BddBitmaskWriter(tmp_path / "v", ["car"]).write(result))
    with ScalabelWriter(tmp_path / "v.json", ["car"], video="v") as writer:
        writer.write(result)
    assert found.areas.tolist() == areas
    table = read_json(tmp_path / "v.json", predicted=True)
    assert [rle.area(table.rle(row)) for row in range(2)] == areas


def test_the_first_track_of_a_video_is_no_background(tmp_path):
    """PCAN's converter counted from 0, and the parser takes 0 for background (docs/sources.md, trackers P-c)."""
    path = BddBitmaskWriter(tmp_path / "v", ["car"]).write(frame(0, [LEFT], [1]))
    assert read_instances(path).ids.tolist() == [1]


def test_labels_are_as_scalabel_wants_them(tmp_path):
    with ScalabelWriter(tmp_path / "v.json", ["person", "motor"], video="v", names=["x/f1.jpg", "f2.jpg"]) as writer:
        writer.write(frame(0, [LEFT, NOTHING], [5, 6], [1, 0], [0.25, 0.5]))
        writer.write(frame(1, []))
    frames = json.loads((tmp_path / "v.json").read_text())
    size = {"width": WIDTH, "height": HEIGHT}
    assert frames[1] == {"name": "f2.jpg", "videoName": "v", "frameIndex": 1, "size": size, "labels": []}
    assert frames[0]["name"] == "f1.jpg"
    assert frames[0]["labels"] == [
        {
            "id": "5",
            "category": "motorcycle",
            "score": 0.25,
            "box2d": {"x1": 0, "y1": 0, "x2": 1, "y2": 2},
            "rle": {"size": [HEIGHT, WIDTH], "counts": rle.encode(LEFT)["counts"]},
        }
    ]


def test_a_distractor_counts_as_its_class_and_as_ignored(tmp_path):
    result = frame(0, [LEFT], labels=[1])
    found = read_instances(BddBitmaskWriter(tmp_path / "v", ["car", "other person"]).write(result, {}))
    assert (found.categories.tolist(), found.ignored.tolist()) == ([1], [True])
    with ScalabelWriter(tmp_path / "v.json", ["car", "other person"], video="v") as writer:
        writer.write(result, {})
    label = json.loads((tmp_path / "v.json").read_text())[0]["labels"][0]
    assert label["category"] == "other person" and "score" not in label
    assert label["attributes"] == dict.fromkeys(FLAG_BITS, False)
    table = read_json(tmp_path / "v.json")
    assert (table.categories.tolist(), table.flags["ignored"].tolist()) == ([0], [True])


@SHORT
@given(mask=hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_draw_the_mask_that_they_were_made_of(mask):
    polygons = [
        {"vertices": np.reshape(flat, (-1, 2)).tolist(), "types": "L" * (len(flat) // 2), "closed": True}
        for flat in pixel_outlines(rle.encode(mask))
    ]
    np.testing.assert_array_equal(fill_polygons(polygons, *mask.shape).astype(bool), mask)


def test_a_ring_is_drawn_by_outlines_without_a_hole(tmp_path):
    ring = np.ones((720, WIDTH), bool)
    ring[200:210, 3:5] = False
    with ScalabelWriter(tmp_path / "v.json", ["car"], video="v", extent="poly2d") as writer:
        writer.write(frame(0, [ring], height=720), {})
    label = json.loads((tmp_path / "v.json").read_text())[0]["labels"][0]
    assert "rle" not in label and len(label["poly2d"]) > 1
    np.testing.assert_array_equal(fill_polygons(label["poly2d"], 720, WIDTH).astype(bool), ring)


def test_boxes_alone_need_no_pixels(tmp_path):
    with ScalabelWriter(tmp_path / "v.json", ["car"], video="v", extent="box2d") as writer:
        writer.write(frame(0, [NOTHING]))
    assert json.loads((tmp_path / "v.json").read_text())[0]["labels"][0].keys() == {"id", "category", "score", "box2d"}


def test_images_of_no_video_have_names_only(tmp_path):
    with ScalabelWriter(tmp_path / "i.json", ["car"], video=None, names=["a.jpg", "b.jpg"]) as writer:
        writer.write(frame(0, [LEFT]))
        writer.write(frame(1, []))
    frames = json.loads((tmp_path / "i.json").read_text())
    assert [image["name"] for image in frames] == ["a.jpg", "b.jpg"] and "videoName" not in frames[0]


def test_files_of_videos_are_joined_frame_by_frame(tmp_path):
    for video in "ba":
        with ScalabelWriter(tmp_path / f"{video}.json", ["car"], video=video) as writer:
            writer.write(frame(0, [LEFT]))
            writer.write(frame(1, []))
    (tmp_path / "c.json").write_text('{"frames":[{"name": "c", "videoName":"c"}],"groups":[]}')
    with ScalabelWriter(tmp_path / "none.json", ["car"], video="none"):
        pass
    join_scalabel([tmp_path / f"{name}.json" for name in ("b", "none", "a", "c")], tmp_path / "out" / "all.json")
    labels = ScalabelLabels(tmp_path / "out" / "all.json")
    assert labels.videos == ("a", "b", "c")
    assert labels.frames("b")[0].values == ScalabelLabels(tmp_path / "b.json").frames("b")[0].values
    join_scalabel([tmp_path / "none.json"], tmp_path / "out" / "empty.json")
    assert json.loads((tmp_path / "out" / "empty.json").read_text()) == []


@pytest.mark.parametrize("kind", ["bitmask", "scalabel"])
@pytest.mark.parametrize(
    ("classes", "message"), [(["car", "dog"], "BDD100K has no category 'dog'; it has pedestrian, rider, car,")]
)
def test_a_class_that_is_no_category_is_refused_before_anything_is_written(tmp_path, kind, classes, message):
    with pytest.raises(InputError, match=message):
        if kind == "bitmask":
            BddBitmaskWriter(tmp_path / "v", classes)
        else:
            ScalabelWriter(tmp_path / "v.json", classes, video="v")
    assert not list(tmp_path.iterdir())


def test_an_id_that_needs_more_than_two_bytes_is_refused(tmp_path):
    with pytest.raises(InputError, match="instance ids up to 65535, found 65536. Split"):
        BddBitmaskWriter(tmp_path / "v", ["car"]).write(frame(0, [LEFT], [65536]))
    assert not list(tmp_path.iterdir())


def test_tracks_may_be_numbered_as_they_appear_in_both_formats_alike(tmp_path):
    bitmasks = BddBitmaskWriter(tmp_path / "v", ["car"], renumber=True)
    frames = [frame(0, []), frame(1, [MIDDLE], [70000]), frame(2, [LEFT, NOTHING, ~LEFT], [9, 400, 70000])]
    with ScalabelWriter(tmp_path / "v.json", ["car"], video="v", renumber=True) as scalabel:
        found = [(read_instances(bitmasks.write(result)).ids.tolist(), scalabel.write(result))[0] for result in frames]
    labels = [
        [label["id"] for label in frame.values["labels"]] for frame in ScalabelLabels(tmp_path / "v.json").frames("v")
    ]
    assert found == [[], [1], [1, 2]] and labels == [[], ["1"], ["2", "1"]]


def test_a_label_without_a_category_is_refused_and_no_file_appears(tmp_path):
    with (
        pytest.raises(InputError, match="Label 1 has no category, 1 are given"),
        ScalabelWriter(tmp_path / "v.json", ["car"], video="v") as writer,
    ):
        writer.write(frame(0, [LEFT], labels=[1]))
    assert not list(tmp_path.iterdir())


def test_a_video_that_broke_off_leaves_no_file_and_is_told(tmp_path):
    names = ["a.jpg", "b.jpg"]
    bitmasks = BddBitmaskWriter(tmp_path / "v", ["car"], names=names)
    bitmasks.write(frame(0, []))
    with pytest.raises(InputError, match="'v' has 1 of 2 frames, and BDD100K wants every one. Run the video again"):
        bitmasks.close()
    with (
        pytest.raises(InputError, match="'v' has 1 of 2 frames"),
        ScalabelWriter(tmp_path / "v.json", ["car"], video="v", names=names) as scalabel,
    ):
        scalabel.write(frame(0, []))
    assert [path.name for path in tmp_path.iterdir()] == ["v"]


def test_every_frame_is_asked_for_in_order(tmp_path):
    writer = BddBitmaskWriter(tmp_path / "v", ["car"], names=["a.jpg"])
    with pytest.raises(ValueError, match="found frame 1 where 0 comes next; write empty ones too"):
        writer.write(frame(1, []))
    writer.write(frame(0, []))
    with pytest.raises(InputError, match=r"found frame 1 of 1 \(from 0\)"):
        writer.write(frame(1, []))


def test_what_exists_is_kept_unless_asked_and_then_nothing_of_it_is_left(tmp_path):
    first = BddBitmaskWriter(tmp_path / "v", ["car"])
    for t in range(3):
        first.write(frame(t, [LEFT]))
    with pytest.raises(OutputExistsError, match="not empty. Use --overwrite"):
        BddBitmaskWriter(tmp_path / "v", ["car"])
    BddBitmaskWriter(tmp_path / "v", ["car"], overwrite=True).write(frame(0, []))
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["v-0000001.png"]
    (tmp_path / "v.json").write_text("old")
    with pytest.raises(OutputExistsError, match="already exists. Use --overwrite"):
        ScalabelWriter(tmp_path / "v.json", ["car"], video="v")
    with pytest.raises(OutputExistsError, match="already exists"):
        join_scalabel([], tmp_path / "v.json")
    writer = ScalabelWriter(tmp_path / "v.json", ["car"], video="v", overwrite=True)
    writer.write(frame(0, [LEFT]))
    assert (tmp_path / "v.json").read_text() == "old"
    writer.close()
    writer.close()
    assert json.loads((tmp_path / "v.json").read_text())[0]["name"] == "v-0000001.jpg"
    with pytest.raises(ValueError, match="is closed"):
        writer.write(frame(1, []))


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="Cannot write"),
        ScalabelWriter(tmp_path / "file" / "v.json", ["car"], video="v") as writer,
    ):
        writer.write(frame(0, []))
