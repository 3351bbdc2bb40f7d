"""Every amodal format: written from the synthetic world, read back the same, and turned into training samples."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope

from eval.errors import SchemaError
from eval.readers.amodal import AmodalObject
from eval.readers.occluders import read_occluders
from eval.readers.record import Record
from eval.readers.segmentation import read_mask
from vos_occ.datasets import amodal  # noqa: F401  (registers dataset and transforms)
from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.amodal_formats import DECODERS
from vos_occ.datasets.amodal_masks import AmodalMasks
from vos_occ.datasets.synthetic import SyntheticFrame, SyntheticWorld, write_dataset
from vos_occ.results.amodal import FORMATS, outline, write_amodal_dataset
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, OutputExistsError
from vos_occ.structures.errors import SchemaError as WriteError

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
COCOA_DEMO = SHARED / "data" / "cocoa_demo"
COCO128 = SHARED / "data" / "coco128"
READ_AS = {"kins_2019": "kins", "kins_2020": "kins", "cocoa": "cocoa", "cocoa_cls": "cocoa_cls", "d2sa": "d2sa"}
PIPELINE = [{"type": "LoadImageFromFile"}, {"type": "LoadAmodalAnnotations"}, {"type": "PackAmodalInputs"}]
WORLD = SyntheticWorld("train", height=96, width=160, num_frames=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same four pictures in every format."""
    root = tmp_path_factory.mktemp("amodal")
    for name in FORMATS:
        write_amodal_images(root / name, name, [WORLD.video(0), WORLD.video(1)])
    write_dataset(root / "synthetic", "train", (0, 1), image_format="png", height=96, width=160, num_frames=2)
    return {name: root / name for name in (*FORMATS, "synthetic")}


@pytest.fixture(scope="module")
def frames() -> list[SyntheticFrame]:
    return [frame for seed in (0, 1) for frame in WORLD.video(seed)]


def build(folder: Path, **options: Any) -> Any:
    config = {
        "type": "AmodalDataset",
        "ann_file": "annotations.json",
        "data_root": str(folder),
        "data_prefix": {"img": "images"},
        "pipeline": PIPELINE,
        "serialize_data": False,  # which collects garbage, and takes longer than all else here
        **options,
    }
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(config)


def build_format(folders: dict[str, Path], name: str, **options: Any) -> Any:
    if name == "synthetic":
        options = {"ann_file": "annotations_coco.json", "data_prefix": {"img": "frames"}} | options
    return build(folders[name], **{"format": READ_AS.get(name, name), **options})


@pytest.mark.parametrize("name", [*FORMATS, "synthetic"])
def test_samples_equal_the_truth(folders: dict[str, Path], frames: list[SyntheticFrame], name: str) -> None:
    dataset = build_format(folders, name)
    assert len(dataset) == len(frames)
    for sample, frame in zip(map(dataset.__getitem__, range(4)), frames, strict=True):
        instances = sample["data_samples"].gt_instances
        masks: AmodalMasks = instances.masks
        places = [int(np.flatnonzero((frame.amodal == mask).all((1, 2)))[0]) for mask in masks.masks]
        assert sorted(places) == np.flatnonzero(frame.is_visible).tolist()
        np.testing.assert_array_equal(masks.planes["visible"], frame.visible[places])
        np.testing.assert_allclose(instances.hidden, frame.hidden[places], atol=1e-6)
        if name != "cocoa":
            np.testing.assert_array_equal(instances.labels, frame.labels[places])
        truth, told = frame.in_front[np.ix_(places, places)], instances.in_front.numpy()
        assert (told[truth] == 1).all(), "who hides somebody is in front of him"
        assert (told.T[truth] == 0).all(), "and not behind him"
        if name in ("cocoa", "synthetic"):
            np.testing.assert_array_equal(told, truth)
        np.testing.assert_array_equal(sample["inputs"].numpy()[::-1].transpose(1, 2, 0), frame.image)


@pytest.mark.parametrize("extent", ["amodal", "visible"])
def test_the_extent_decides_masks_and_boxes(folders: dict[str, Path], extent: str) -> None:
    for name in ("kins_2019", "kins_2020", "d2sa", "cocoa", "synthetic"):
        instances = build_format(folders, name, extent=extent)[0]["data_samples"].gt_instances
        np.testing.assert_array_equal(instances.masks.masks, instances.masks.planes[extent])
        tight = instances.masks.get_bboxes("hbox").tensor
        np.testing.assert_array_equal(instances.bboxes.tensor, tight)
        assert (instances.hidden > 0.1).any(), "hidden parts stay known"


def test_the_fields_tell_the_format(folders: dict[str, Path]) -> None:
    for name in (*FORMATS, "synthetic"):
        options = {"ann_file": "annotations_coco.json", "data_prefix": {"img": "frames"}} if name == "synthetic" else {}
        assert len(build(folders[name], format="amodal", **options)) == 4


def test_coco_has_visible_masks_and_the_order_that_it_states(
    folders: dict[str, Path], frames: list[SyntheticFrame]
) -> None:
    dataset = build(
        folders["synthetic"], format="coco", ann_file="annotations_coco.json", data_prefix={"img": "frames"}
    )
    instances = dataset[0]["data_samples"].gt_instances
    seen = frames[0].is_visible
    np.testing.assert_array_equal(instances.masks.masks, frames[0].visible[seen])
    np.testing.assert_array_equal(instances.in_front, frames[0].in_front[np.ix_(seen, seen)])
    np.testing.assert_allclose(instances.hidden, frames[0].hidden[seen], atol=1e-5)
    assert "occluders" not in instances


# KINS 2020's order

SQUARE = rle.from_box([0, 0, 4, 4], 8, 8)
NEXT = rle.from_box([2, 0, 6, 4], 8, 8)
FAR = rle.from_box([6, 6, 8, 8], 8, 8)


def kins_2020(*objects: tuple[Any, int, int]) -> dict[str, Any]:
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "a_segm": mask, "i_segm": mask, "oco_id": oco, "ico_id": ico}
        for i, (mask, oco, ico) in enumerate(objects, 1)
    ]
    images = [{"id": 1, "width": 8, "height": 8, "file_name": "a.png"}]
    return {"images": images, "categories": [{"id": 1, "name": "car"}], "annotations": annotations}


@pytest.mark.parametrize(
    ("situation", "objects", "order"),
    [
        ("one in front", [(SQUARE, 3, 1), (NEXT, 3, 2)], [[0, 1], [0, 0]]),
        ("the later one in front", [(SQUARE, 3, 2), (NEXT, 3, 1)], [[0, 0], [1, 0]]),
        ("of one cluster, but apart", [(SQUARE, 3, 1), (FAR, 3, 2)], [[0, 0], [0, 0]]),
        ("of two clusters, but touching", [(SQUARE, 3, 1), (NEXT, 4, 2)], [[0, -1], [-1, 0]]),
        ("no cluster, but touching", [(SQUARE, 0, 0), (NEXT, 0, 0)], [[0, -1], [-1, 0]]),
        ("the same place", [(SQUARE, 3, 1), (NEXT, 3, 1)], [[0, -1], [-1, 0]]),
    ],
)
def test_order_of_kins_clusters(tmp_path: Path, situation: str, objects: list, order: list) -> None:
    (tmp_path / "annotations.json").write_text(json.dumps(kins_2020(*objects)))
    dataset = build(tmp_path, format="kins", check_images=False, pipeline=PIPELINE[1:2])
    assert dataset[0]["gt_masks"].in_front.tolist() == order, situation


# Writing


def test_what_is_written_is_read_back_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in FORMATS:
        first = DECODERS[READ_AS[name]](_document(folders[name] / "annotations.json"))
        images = [{"id": i.id, "file_name": i.file_name, "width": i.width, "height": i.height} for i in first.images]
        categories = [{"id": c.id, "name": c.name} for c in first.categories]
        write_amodal_dataset(tmp_path / f"{name}.json", name, images, first.objects, categories)
        again = DECODERS[READ_AS[name]](_document(tmp_path / f"{name}.json"))
        for one, two in zip(first.objects, again.objects, strict=True):
            for field in ("amodal", "visible", "amodal_box", "area", "category_id", "image_id", "iscrowd"):
                assert getattr(one, field) == getattr(two, field), (name, field)


@st.composite
def layered(draw: st.DrawFn) -> list[AmodalObject]:
    """One to four objects of one image, each with any visible part, in front of some of those that follow."""
    count = draw(st.integers(1, 4))
    objects = []
    for number in range(1, count + 1):
        amodal_mask = draw(arrays(np.bool_, (5, 6)))
        amodal_mask[0, 0] = True
        visible = amodal_mask & draw(arrays(np.bool_, (5, 6)))
        codes = rle.encode(amodal_mask), rle.encode(visible)
        behind = draw(st.sets(st.integers(number + 1, count))) if number < count else set()
        boxes = []
        for code in codes:
            x0, y0, x1, y1 = rle.bounding_box(code).tolist()
            boxes.append((x0, y0, x1 - x0, y1 - y0))
        facts = {"area": float(amodal_mask.sum()), "in_front_of": tuple(sorted(behind))}
        objects.append(AmodalObject(number, 1, 1, *codes, *boxes, **facts))
    return draw(st.permutations(objects))


def relations(objects: list[AmodalObject]) -> Counter:
    """Who hides whom, by masks, since COCOA gives ids of its own."""
    masks = {thing.id: (thing.amodal["counts"], thing.visible["counts"]) for thing in objects}
    return Counter((masks[thing.id], masks[j]) for thing in objects for j in thing.in_front_of or ())


@pytest.mark.parametrize("name", FORMATS)
@given(objects=layered())
def test_round_trip(name: str, objects: list[AmodalObject], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"round_trip_{name}.json"
    images = [{"id": 1, "file_name": "a.png", "width": 6, "height": 5}]
    write_amodal_dataset(path, name, images, objects, [{"id": 1, "name": "car"}], overwrite=True)
    again = list(DECODERS[READ_AS[name]](_document(path)).objects)
    parts = ("amodal", "visible", "amodal_box", "visible_box", "area")
    before, after = (sorted(str([getattr(t, part) for part in parts]) for t in side) for side in (objects, again))
    assert before == after
    if name == "cocoa":
        assert relations(objects) == relations(again)
    elif name == "kins_2020":
        clusters = {thing.id: thing.cluster for thing in again}
        for thing in objects:
            for j in thing.in_front_of:
                assert clusters[thing.id][0] == clusters[j][0] > 0 and clusters[thing.id][1] < clusters[j][1]


def _document(path: Path) -> Record:
    return Record(json.loads(path.read_text()), "", path.name)


def test_cocoa_writes_polygons(folders: dict[str, Path]) -> None:
    content = json.loads((folders["cocoa"] / "annotations.json").read_text())
    regions = [region for annotation in content["annotations"] for region in annotation["regions"]]
    flat = [isinstance(region["segmentation"], list) for region in regions]
    assert np.mean(flat) > 0.8
    assert any("visible_mask" in region for region in regions) and any("visible_mask" not in r for r in regions)


@given(arrays(np.bool_, (5, 6)))
def test_an_outline_draws_its_mask(mask: np.ndarray) -> None:
    code = rle.encode(mask)
    drawn = outline(code)
    if isinstance(drawn, list):
        assert read_mask([drawn], 5, 6, Record({}, "", "x"), "segmentation") == code
    else:
        assert drawn == code


def test_an_outline_has_corners_only() -> None:
    assert sorted(outline(rle.from_box([1, 2, 4, 6], 8, 9))) == sorted([1, 2, 4, 2, 4, 6, 1, 6])


def thing(number: int, *behind: int) -> AmodalObject:
    box = (0.0, 0.0, 4.0, 4.0)
    return AmodalObject(number, 1, 1, SQUARE, SQUARE, box, box, 16.0, in_front_of=behind)


def test_writing_refuses_what_the_format_cannot_say(tmp_path: Path) -> None:
    images, names = [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}], [{"id": 1, "name": "car"}]
    path = tmp_path / "a.json"
    with pytest.raises(WriteError, match="hide each other in a circle"):
        write_amodal_dataset(path, "cocoa", images, [thing(1, 2), thing(2, 3), thing(3, 1)], names)
    with pytest.raises(WriteError, match="used twice"):
        write_amodal_dataset(path, "d2sa", images, [thing(1), thing(1)], names)
    with pytest.raises(ValueError, match="Format must be one of kins_2019"):
        write_amodal_dataset(path, "voc", images, [], names)
    write_amodal_dataset(path, "d2sa", images, [thing(1)], names)
    with pytest.raises(OutputExistsError):
        write_amodal_dataset(path, "d2sa", images, [thing(1)], names)


# Occluders made beforehand


def test_occluders_of_a_file_reach_the_targets(folders: dict[str, Path], tmp_path: Path) -> None:
    content = json.loads((folders["d2sa"] / "annotations.json").read_text())
    expected = {}
    for record in content["annotations"]:
        box = np.zeros((96, 160), np.uint8)
        if record["id"] % 3:
            box[10 : 10 + record["id"], 20:60] = 1
        expected[record["id"]] = box
        polygon = [20, 10, 60, 10, 60, 10 + record["id"], 20, 10 + record["id"]]
        code = rle.encode(box.astype(bool))
        record["bg_object_segmentation"] = [[], code, [polygon]][record["id"] % 3]
    (tmp_path / "occluders.json").write_text(json.dumps(content))
    occluder_file = str(tmp_path / "occluders.json")
    for sample in build_format(folders, "d2sa", occluder_file=occluder_file):
        instances = sample["data_samples"].gt_instances
        for number, mask in zip(instances.instances_ids.tolist(), instances.occluders.masks, strict=True):
            np.testing.assert_array_equal(mask, expected[number])


def test_occluders_must_be_there_for_every_object(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"annotations\[0\].bg_object_segmentation is missing"):
        read_occluders(folders["d2sa"] / "annotations.json")
    content = json.loads((folders["d2sa"] / "annotations.json").read_text())
    content["annotations"] = [r | {"bg_object_segmentation": None} for r in content["annotations"][2:]]
    (tmp_path / "few.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="has no occluder of annotation 1 and 1 more of"):
        build_format(folders, "d2sa", occluder_file=str(tmp_path / "few.json"))


# Bad input


@pytest.fixture
def broken(folders: dict[str, Path], tmp_path: Path) -> Callable[..., Any]:
    """`broken("d2sa", change)` builds a dataset of the file after `change(content)`."""

    def build_changed(name: str, change: Callable[[dict], None], **options: Any) -> Any:
        path = folders[name] / ("annotations_coco.json" if name == "synthetic" else "annotations.json")
        content = json.loads(path.read_text())
        change(content)
        (tmp_path / "changed.json").write_text(json.dumps(content))
        return build_format(folders, name, **{"ann_file": str(tmp_path / "changed.json"), **options})

    return build_changed


def drop(*fields: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for record in content["annotations"]:
            for field in fields:
                record.pop(field, None)

    return change


def set_all(**fields: Any) -> Callable[[dict], None]:
    return lambda content: [record.update(fields) for record in content["annotations"]]


@pytest.mark.parametrize(
    ("name", "change", "options", "error", "message"),
    [
        ("kins_2019", drop("inmodal_seg"), {}, SchemaError, r"inmodal_seg is missing, expected the inmodal mask"),
        ("kins_2020", drop("a_segm"), {}, SchemaError, "is missing, expected the inmodal mask"),
        ("kins_2019", drop("segmentation"), {}, SchemaError, "segmentation is missing, expected the amodal mask"),
        ("d2sa", drop("visible_mask", "occlude_rate"), {}, SchemaError, "visible_mask is missing, but occlude_rate is"),
        ("cocoa", drop("regions"), {}, SchemaError, "regions"),
        ("synthetic", drop("amodal_segmentation"), {}, SchemaError, "amodal_segmentation is missing, expected the am"),
        ("d2sa", lambda c: c.pop("annotations"), {}, SchemaError, "has no annotations"),
        ("d2sa", set_all(iscrowd=1), {}, InputError, "has no object of the classes .* that is no crowd"),
        ("d2sa", set_all(segmentation=[[]]), {}, SchemaError, "expected a polygon"),
        (
            "d2sa",
            lambda c: c["images"][0].update(file_name="x.png"),
            {},
            InputError,
            "1 of 4 images .* not on",
        ),
        ("d2sa", lambda c: None, {"num_classes": 7}, InputError, "says 7 classes, but .* gives 6: "),
        ("d2sa", lambda c: None, {"metainfo": {"classes": ["fork"]}}, InputError, "has no category 'fork'"),
        ("d2sa", lambda c: None, {"format": "voc"}, InputError, "format 'voc' is not known. Use one of coco, kins"),
        ("d2sa", lambda c: None, {"format": "kins"}, SchemaError, "inmodal_seg is missing"),
        ("d2sa", lambda c: None, {"format": "coco", "extent": "amodal"}, InputError, "COCO files have no amodal masks"),
        ("d2sa", lambda c: None, {"extent": "modal"}, InputError, "must be amodal or visible, found 'modal'"),
        ("synthetic", drop("segmentation"), {"format": "coco"}, InputError, "has boxes but no masks"),
        ("synthetic", set_all(segmentation=[]), {"format": "coco"}, InputError, "has boxes but no masks"),
        ("synthetic", lambda c: c.pop("annotations"), {"format": "coco"}, InputError, "cannot be trained on"),
        ("d2sa", lambda c: None, {"filter_cfg": {"min_size": 999}}, InputError, "No image of .* is left by filter_cfg"),
    ],
)
def test_bad_input_is_one_line(
    broken: Callable[..., Any], name: str, change: Callable, options: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        broken(name, change, **options)
    assert "\n" not in str(raised.value)


def test_objects_from_which_nothing_can_be_learned_are_left_out_and_counted(broken: Callable[..., Any]) -> None:
    def change(content: dict) -> None:
        first, second, third = content["annotations"][:3]
        first["segmentation"] = []
        second["bbox"] = [5, 5, 0.4, 20]
        third["bbox"] = [900, 5, 30, 20]

    with pytest.warns(UserWarning, match=r"3 objects are left out: 1 without a pixel in their mask, 2 with a box thin"):
        dataset = broken("synthetic", change, format="coco")
    kept = [number for sample in dataset for number in sample["data_samples"].gt_instances.instances_ids.tolist()]
    assert min(kept) == 4


def test_run_lengths_as_a_list_are_masks(broken: Callable[..., Any], folders: dict[str, Path]) -> None:
    def change(content: dict) -> None:
        for record in content["annotations"]:
            record["segmentation"]["counts"] = rle.run_lengths(record["segmentation"]).tolist()

    plain = build_format(folders, "d2sa")[0]["data_samples"].gt_instances
    listed = broken("d2sa", change)[0]["data_samples"].gt_instances
    np.testing.assert_array_equal(listed.masks.masks, plain.masks.masks)


def test_crowds_are_ignored_and_images_of_crowds_alone_are_dropped(broken: Callable[..., Any]) -> None:
    def change(content: dict) -> None:
        for record in content["annotations"]:
            record["iscrowd"] = int(record["image_id"] == 1 or record["id"] % 4 == 0)

    assert len(broken("d2sa", change)) == 4
    dataset = broken("d2sa", change, filter_cfg={"filter_empty_gt": True})
    assert len(dataset) == 3
    for sample in dataset:
        data = sample["data_samples"]
        assert all(number % 4 for number in data.gt_instances.instances_ids.tolist())
        assert all(number % 4 == 0 for number in data.ignored_instances.instances_ids.tolist())
        count = len(data.gt_instances.bboxes)
        assert data.gt_instances.in_front.shape == (count, count)


def test_an_image_of_another_size_is_named(folders: dict[str, Path], broken: Callable[..., Any]) -> None:
    def change(content: dict) -> None:
        content["images"][0]["file_name"] = "other.png"

    cv2.imwrite(str(folders["d2sa"] / "images" / "other.png"), np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(InputError, match="other.png is 60x50, but its annotation says 160x96"):
        broken("d2sa", change)[0]


# Real files


@pytest.mark.skipif(not COCOA_DEMO.is_dir(), reason="needs the shared folder cocoa_demo")
def test_real_cocoa(tmp_path: Path) -> None:
    images, annotations = [], []
    for number in range(1, 6):
        annotations.append(json.loads((COCOA_DEMO / f"{number}.json").read_text()))
        height, width = cv2.imread(str(COCOA_DEMO / f"{number}.jpg")).shape[:2]
        image = {"id": annotations[-1]["image_id"], "file_name": f"{number}.jpg", "height": height, "width": width}
        images.append(image)
    (tmp_path / "cocoa.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    options = {"format": "cocoa", "ann_file": str(tmp_path / "cocoa.json"), "data_prefix": {"img": ""}}
    samples = [sample["data_samples"].gt_instances for sample in build(COCOA_DEMO, **options)]
    assert (len(samples), sum(map(len, samples))) == (5, 48)
    assert sum(int((sample.hidden > 0.01).sum()) for sample in samples) == 21
    assert (
        0 < sum(len(sample["data_samples"].gt_instances) for sample in build(COCOA_DEMO, **options, stuff=False)) < 48
    )


@pytest.mark.skipif(not COCO128.is_dir(), reason="needs the shared folder coco128")
def test_real_coco() -> None:
    ann_file = COCO128 / "annotations" / "instances_train2017_first128.json"
    dataset = build(
        COCO128, format="coco", ann_file=str(ann_file), data_prefix={"img": str(COCO128 / "images" / "train2017")}
    )
    sample = dataset[0]["data_samples"]
    assert (sample.gt_instances.in_front.numpy() == -1).all() and sample.gt_instances.hidden.isnan().all()


def test_an_image_without_objects_is_background(broken: Callable[..., Any]) -> None:
    def change(content: dict) -> None:
        content["annotations"] = [record for record in content["annotations"] if record["image_id"] != 1]

    pipeline = [
        *PIPELINE[:2],
        {"type": "Resize", "scale": (80, 48), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": (40, 40), "recompute_bbox": True, "allow_negative_crop": True},
        {"type": "RandomFlip", "prob": 1.0},
        PIPELINE[2],
    ]
    for name in ("d2sa", "kins_2020", "synthetic"):
        instances = broken(name, change, pipeline=pipeline)[0]["data_samples"].gt_instances
        assert len(instances.bboxes) == len(instances.masks) == 0
        assert (instances.in_front.shape, instances.hidden.shape) == ((0, 0), (0,))
        assert instances.masks.masks.shape == (0, 40, 40)
