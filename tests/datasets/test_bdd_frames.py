from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from eval.errors import SchemaError
from eval.protocols.bdd100k_rules import CLASSES, VOCABULARY
from eval.readers.scalabel_index import ScalabelIndex
from vos_occ.datasets.bdd_bitmask import BddBitmaskFrames
from vos_occ.datasets.mots_benchmark import mots_benchmark
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.scalabel import ScalabelFrames
from vos_occ.datasets.synthetic_bdd100k import CAST, DISTRACTORS, write_bdd100k
from vos_occ.datasets.synthetic_street import StreetWorld, true_flags, true_result
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared")) / "fixtures"
WORLD = {"height": 64, "width": 112, "num_frames": 3}
SEEDS = (0, 3)  # with crowds and distractors
FORMS = ("bitmask", "rle", "polygon")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bdd100k")
    write_bdd100k(folder, SEEDS, (), **WORLD)
    return folder


@pytest.fixture(scope="module")
def truth() -> list[list[dict[int, tuple[int, bool, np.ndarray]]]]:
    """By video and frame, of each object by its id: label, whether it is ignored, mask."""
    world = StreetWorld("train", CAST, DISTRACTORS, **WORLD)
    return [[objects_of(video, frame) for frame in video] for video in map(world.video, SEEDS)]


def objects_of(video: Any, frame: Any) -> dict[int, tuple[int, bool, np.ndarray]]:
    result, crowd = true_result(frame), true_flags(video, frame)["crowd"]
    kinds = VOCABULARY.kinds()
    found = [(*kinds[video.classes[label]], mask) for label, mask in zip(result.labels, result.masks, strict=True)]
    return {
        number: (label, bool(ignored or k), rle.decode(mask))
        for number, (label, ignored, mask), k in zip(result.track_ids.tolist(), found, crowd, strict=True)
    }


def as_seen(sample: Sample) -> list[tuple[int, bool, bytes]]:
    rows = zip(sample.labels.tolist(), sample.crowd.tolist(), sample.masks, strict=True)
    return sorted((label, crowd, mask.tobytes()) for label, crowd, mask in rows)


def records(root: Path, name: str) -> Any:
    return json.loads((root / "labels" / name).read_text())


def frames_of(document: Any) -> list[dict[str, Any]]:
    return document["frames"] if isinstance(document, dict) else document


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_segmentation_tracking_gives_the_truth(root: Path, truth: Any, form: str) -> None:
    source = mots_benchmark("bdd100k", root, "train", form)
    assert source.classes == CLASSES
    assert source.frames() == [[0, 1, 2]] * 2
    ids: dict[int, tuple[int, int]] = {}
    for video, frames in enumerate(truth):
        for t, objects in enumerate(frames):
            sample = source.load(video, t)
            expected = sorted(
                (label, ignored, mask.astype(np.uint8).tobytes()) for label, ignored, mask in objects.values()
            )
            assert as_seen(sample) == expected
            assert sample.mask_known.all()
            assert np.isnan(sample.hidden).all()
            by_mask = {mask.astype(np.uint8).tobytes(): number for number, (_, _, mask) in objects.items()}
            for number, mask in zip(sample.instance_ids.tolist(), sample.masks, strict=True):
                assert ids.setdefault(number, (video, by_mask[mask.tobytes()])) == (video, by_mask[mask.tobytes()])
    assert len(set(ids.values())) == len(ids)  # an object keeps its id, and nobody else has it
    assert min(ids) >= 1
    assert any(ignored for frames in truth for objects in frames for _, ignored, _ in objects.values())


def test_boxes_are_the_truth_and_their_masks_are_not_known(root: Path) -> None:
    masks, boxes = (mots_benchmark(name, root) for name in ("bdd100k", "bdd100k_box_track"))
    for video, t in ((0, 0), (1, 2)):
        ours, theirs = boxes.load(video, t), masks.load(video, t)
        assert not ours.mask_known.any()
        assert sorted(map(tuple, ours.boxes().tolist())) == sorted(map(tuple, theirs.boxes().tolist()))
        assert (ours.masks.sum((1, 2)) == np.prod(ours.boxes()[:, 2:] - ours.boxes()[:, :2], axis=1)).all()
        assert sorted(ours.crowd.tolist()) == sorted(theirs.crowd.tolist())


def test_images_with_masks_or_boxes_are_videos_of_one_frame(root: Path) -> None:
    sources = [mots_benchmark("bdd100k_ins_seg", root, "train", form) for form in FORMS]
    sources.append(mots_benchmark("bdd100k_det", root))
    assert all(source.frames() == [[0]] * 4 for source in sources)
    for image in range(4):
        first, *others, boxes = (source.load(image, 0) for source in sources)
        assert all(as_seen(other) == as_seen(first) for other in others)
        assert sorted(boxes.labels.tolist()) == sorted(first.labels.tolist())
        assert not boxes.mask_known.any()
    ids = [number for image in range(4) for number in sources[1].load(image, 0).instance_ids.tolist()]
    assert len(set(ids)) == len(ids)


def test_classes_are_merged_by_name_and_others_left_out(root: Path) -> None:
    finer, coarser = (
        mots_benchmark("bdd100k", root, form="rle", classes=classes, merge=merge)
        for classes, merge in (
            (CLASSES, None),
            (("vehicle", "person"), dict.fromkeys(("car", "truck", "bus", "train"), "vehicle")),
        )
    )
    expected = {name: 0 for name in ("car", "truck", "bus", "train")} | {"pedestrian": 1}
    for video, t in ((0, 0), (1, 1)):
        names = [CLASSES[label] for label in finer.load(video, t).labels]
        assert coarser.load(video, t).labels.tolist() == [expected[name] for name in names if name in expected]


def test_a_class_that_bdd100k_does_not_have_is_told(root: Path) -> None:
    with pytest.raises(InputError, match=r"has no category 'dog'. It has: bicycle, bus, car"):
        mots_benchmark("bdd100k", root, classes=("car", "dog"))
    with pytest.raises(InputError, match="has no category 'dog'"):
        mots_benchmark("bdd100k", root, merge={"dog": "car"})


def test_frames_with_crowds_only_are_not_learned_from(root: Path, tmp_path: Path) -> None:
    (path,) = list((root / "labels/seg_track_20/rles/train").glob("*0.json"))
    document = json.loads(path.read_text())
    for label in frames_of(document)[1]["labels"]:
        label["attributes"]["crowd"] = True
    (tmp_path / "labels.json").write_text(json.dumps(document))
    images = root / "images/seg_track_20/train"
    assert ScalabelFrames(tmp_path / "labels.json", images).frames() == [[0, 2]]
    assert ScalabelFrames(tmp_path / "labels.json", images, keep_empty=True).frames() == [[0, 1, 2]]


def test_traffic_lights_are_no_objects_of_tracking(root: Path, tmp_path: Path) -> None:
    document = records(root, "det_20/det_train.json")
    frames_of(document)[0]["labels"].append({"id": "x", "category": "traffic light", "box2d": None})
    (tmp_path / "det.json").write_text(json.dumps(document))
    before = mots_benchmark("bdd100k_det", root).load(0, 0)
    after = ScalabelFrames(tmp_path / "det.json", root / "images/100k/train").load(0, 0)
    assert as_seen(after) == as_seen(before)


def test_ids_need_not_be_numbers(root: Path, tmp_path: Path) -> None:
    """Scalabel's own tool writes names; `int` of them fails, and counting them frame by frame mixes objects up."""
    (path,) = list((root / "labels/seg_track_20/rles/train").glob("*0.json"))
    document = json.loads(path.read_text())
    for frame in frames_of(document):
        frame["labels"] = [{**label, "id": f"track {label['id']}"} for label in reversed(frame["labels"])]
    (tmp_path / "labels.json").write_text(json.dumps(document))
    named = ScalabelFrames(tmp_path / "labels.json", root / "images/seg_track_20/train")
    numbered = ScalabelFrames(path, root / "images/seg_track_20/train")
    pairs = set()
    for t in range(3):
        one, other = named.load(0, t), numbered.load(0, t)
        places = {mask.tobytes(): number for mask, number in zip(other.masks, other.instance_ids.tolist(), strict=True)}
        pairs |= {(n, places[m.tobytes()]) for m, n in zip(one.masks, one.instance_ids.tolist(), strict=True)}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def test_frames_are_in_order_of_their_index_wherever_they_stand(root: Path, tmp_path: Path) -> None:
    (path,) = list((root / "labels/seg_track_20/rles/train").glob("*0.json"))
    document = json.loads(path.read_text())
    shuffled = [frames_of(document)[k] for k in (2, 0, 1)]
    for with_index in (True, False):
        kept = [frame if with_index else {**frame, "frameIndex": None} for frame in shuffled]
        (tmp_path / "labels.json").write_text(json.dumps(kept))
        index = ScalabelIndex(tmp_path / "labels.json", VOCABULARY)
        assert list(index.names(0)) == [frame["name"] for frame in frames_of(document)]
        assert index.read(0, 0, 64, 112).masks == ScalabelIndex(path, VOCABULARY).read(0, 0, 64, 112).masks


BROKEN = {
    "unknown category": (lambda f: f["labels"][0].update(category="horse"), "labels.0..category is .horse., expected"),
    "no name": (lambda f: f.pop("name"), "name is missing"),
    "labels": (lambda f: f.update(labels=3), "labels is 3, expected a list"),
    "label": (lambda f: f["labels"].append(7), r"labels.\d+. is 7, expected an object"),
    "video": (lambda f: f.update(videoName=5), "videoName is 5, expected a string"),
}


@pytest.mark.parametrize("change", BROKEN, ids=list(BROKEN))
def test_a_broken_file_is_told_when_it_is_opened(root: Path, tmp_path: Path, change: str) -> None:
    (path,) = list((root / "labels/seg_track_20/rles/train").glob("*0.json"))
    document = json.loads(path.read_text())
    alter, says = BROKEN[change]
    alter(frames_of(document)[1])
    (tmp_path / "labels.json").write_text(json.dumps(document))
    with pytest.raises(SchemaError, match=says):
        ScalabelIndex(tmp_path / "labels.json", VOCABULARY)


def first_with_mask(frame: dict[str, Any]) -> dict[str, Any]:
    return next(label for label in frame["labels"] if label.get("rle"))


BROKEN_MASKS = {
    "cut off": (lambda f: first_with_mask(f)["rle"].update(counts="1"), "covers"),
    "size": (lambda f: first_with_mask(f)["rle"].update(size=[64, 64]), r"rle.size is .64, 64."),
    "stated size": (lambda f: f.update(size={"width": 5, "height": 4}), "size is 4 x 5 .* picture is 64 x 112"),
    "id": (lambda f: first_with_mask(f).pop("id"), "Give every label an id"),
}


@pytest.mark.parametrize("change", BROKEN_MASKS, ids=list(BROKEN_MASKS))
def test_a_broken_mask_is_told_when_it_is_read(root: Path, tmp_path: Path, change: str) -> None:
    (path,) = list((root / "labels/seg_track_20/rles/train").glob("*0.json"))
    document = json.loads(path.read_text())
    alter, says = BROKEN_MASKS[change]
    alter(frames_of(document)[0])
    (tmp_path / "labels.json").write_text(json.dumps(document))
    source = ScalabelFrames(tmp_path / "labels.json", root / "images/seg_track_20/train")
    with pytest.raises(SchemaError, match=says):
        source.load(0, 0)


@pytest.mark.parametrize(
    ("text", "says"), [("[]", "has no frames"), ('{"config": {}}', "has no frames"), ("7", "list")]
)
def test_a_file_without_frames_is_told(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(SchemaError, match=says):
        ScalabelIndex(tmp_path / "labels.json", VOCABULARY)


@pytest.mark.parametrize("form", ["bitmask", "rle"])
def test_a_missing_frame_is_told_before_training(root: Path, tmp_path: Path, form: str) -> None:
    shutil.copytree(root / "images/seg_track_20", tmp_path / "images/seg_track_20")
    (tmp_path / "labels").symlink_to(root / "labels")
    lost = sorted((tmp_path / "images/seg_track_20/train").rglob("*.jpg"))[-1]
    lost.unlink()
    with pytest.raises(InputError, match=f"lacks 1 of the 3 pictures .* {lost.stem}"):
        mots_benchmark("bdd100k", tmp_path, "train", form)


def test_a_picture_of_another_size_is_told(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "images/seg_track_20", tmp_path / "images/seg_track_20")
    (tmp_path / "labels").symlink_to(root / "labels")
    for path in (tmp_path / "images").rglob("*.jpg"):
        cv2.imwrite(str(path), np.zeros((32, 56, 3), np.uint8))
    with pytest.raises(InputError, match="is 56x32, but its annotation says 112x64"):
        mots_benchmark("bdd100k", tmp_path).load(0, 0)


def bitmask_source(tmp_path: Path, pixels: np.ndarray) -> BddBitmaskFrames:
    for folder, image in (("labels/v", pixels), ("images/v", np.zeros((4, 4, 3), np.uint8))):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / "v-0000001.png"), image)
    return BddBitmaskFrames(tmp_path / "labels", tmp_path / "images")


def rgba(*codes: tuple[int, int, int, int]) -> np.ndarray:
    """4 x 4 pixels, a row for each (category, attributes, high byte, low byte); as OpenCV orders channels."""
    picture = np.zeros((4, 4, 4), np.uint8)
    for row, (r, g, b, a) in enumerate(codes):
        picture[row] = b, g, r, a
    return picture


def test_ids_of_two_bytes_and_all_flags_are_read(tmp_path: Path) -> None:
    sample = bitmask_source(tmp_path, rgba((3, 4, 1, 44), (99, 1, 0, 1), (1, 2, 0, 2))).load(0, 0)
    assert sample.instance_ids.tolist() == [1, 2, 300]  # (B << 8) + A: bdd100k's own converter loses those above 255
    assert sample.labels.tolist() == [0, 0, 2]
    assert sample.crowd.tolist() == [True, True, False]
    assert sample.masks[2].tolist() == [[1] * 4, [0] * 4, [0] * 4, [0] * 4]


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.zeros((4, 4, 3), np.uint8), "is of mode RGB, expected RGBA"),
        (np.zeros((4, 4), np.uint16), "is of mode I;16, expected RGBA"),
        (rgba((9, 0, 0, 1)), "instance 1 has category 9, expected 1..8"),
        (rgba((1, 0, 0, 1), (2, 0, 0, 1)), "instance 1 has pixels of two categories"),
    ],
    ids=["colours", "16 bits", "category", "two categories"],
)
def test_what_is_no_bitmask_is_told(tmp_path: Path, pixels: np.ndarray, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        bitmask_source(tmp_path, pixels).load(0, 0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the Scalabel fixtures (VOS_OCC_DATA)")
def test_real_labels_of_a_video_are_read_frame_by_frame() -> None:
    path = SHARED / "scalabel_seg_track" / "seg_track_sample.json"
    index = ScalabelIndex(path, VOCABULARY)
    frames = json.loads(path.read_text())
    assert (len(index.videos), len(index.names(0))) == (1, 100)
    found = index.read(0, 7, 720, 1280)
    with_mask = [label for label in frames[7]["labels"] if label["poly2d"] or label.get("rle")]
    assert len(found.ids) == len(with_mask)
    kinds = VOCABULARY.kinds()
    assert found.categories.tolist() == [kinds[label["category"]][0] for label in with_mask]
    assert found.ignored.tolist() == [
        kinds[label["category"]][1] or bool(label["attributes"].get("crowd") or label["attributes"].get("ignored"))
        for label in with_mask
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the BDD100K fixtures (VOS_OCC_DATA)")
def test_the_bitmask_of_bdd100ks_own_tests_is_read(tmp_path: Path) -> None:
    (tmp_path / "vid").mkdir()
    cv2.imwrite(str(tmp_path / "vid" / "a.png"), np.zeros((10, 10, 3), np.uint8))
    sample = BddBitmaskFrames(SHARED / "bdd100k_bitmask" / "mots" / "gt", tmp_path).load(0, 0)
    assert len(sample) > 1
    assert sample.masks.sum(0).max() == 1
