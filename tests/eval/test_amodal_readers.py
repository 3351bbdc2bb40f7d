"""Amodal annotations of every format become the same objects; what a format lacks is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.parts import hidden_fractions, hidden_parts, shared_pixels
from eval.readers.amodal import AmodalDataset
from eval.readers.amodal_formats import amodal_dataset
from eval.readers.amodal_results import read_amodal_results
from eval.readers.cocoa import REGION_STEP
from eval.readers.record import Record
from eval.rle import Rle, areas

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
COCOA_DEMO = SHARED / "data" / "cocoa_demo"


def mask(picture: str) -> Rle:
    rows = [[c == "#" for c in row] for row in picture.split()]
    rle = mask_api.encode(np.asfortranarray(rows, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


WHOLE = mask("####.. ####.. ...... ......")
SEEN = mask("##.... ##.... ...... ......")
HIDDEN = mask("..##.. ..##.. ...... ......")
OTHER = mask("...... .##... .##... ......")
NOTHING = mask("...... ...... ...... ......")
POLYGON = [0, 0, 4, 0, 4, 2, 0, 2]  # WHOLE
OTHER_POLYGON = [1, 1, 3, 1, 3, 3, 1, 3]  # OTHER


def document(annotations: list[dict[str, Any]], name: str = "car") -> Record:
    content = {"images": [{"id": 1, "width": 6, "height": 4}], "categories": [{"id": 4, "name": name}]}
    return Record(content | {"annotations": annotations}, "", "gt.json")


def annotation(**fields: Any) -> dict[str, Any]:
    return {"id": 7, "image_id": 1, "category_id": 4, **fields}


KINS_2019 = annotation(
    segmentation=[POLYGON], bbox=[0, 0, 4, 2], area=9, iscrowd=0, inmodal_seg=SEEN, inmodal_bbox=[0, 0, 2, 2]
)
KINS_2020 = annotation(
    a_segm=[POLYGON], a_bbox=[0, 0, 4, 2], a_area=9, i_segm=SEEN, i_bbox=[0, 0, 2, 2], oco_id=3, ico_id=2
)
COCOA_CLS = annotation(segmentation=POLYGON, bbox=[0, 0, 4, 2], area=9, visible_mask=SEEN, occlude_rate=0.5)
SYNTHETIC = annotation(segmentation=SEEN, amodal_segmentation=WHOLE, bbox=[0, 0, 2, 2], hidden=0.5, in_front_of=[])


@pytest.mark.parametrize(
    ("format_name", "raw", "area", "rate"),
    [
        ("KINS 2019", KINS_2019, 9, None),
        ("KINS 2020", KINS_2020, 9, None),
        ("COCOA-cls and D2SA, flat polygon", COCOA_CLS, 9, 0.5),
        ("synthetic", SYNTHETIC, 8, 0.5),
    ],
)
def test_every_format_tells_the_same_object(format_name: str, raw: dict, area: float, rate: float | None) -> None:
    (thing,) = amodal_dataset(document([raw])).objects
    assert (thing.id, thing.image_id, thing.category_id, thing.iscrowd) == (7, 1, 4, False), format_name
    assert (thing.amodal, thing.visible) == (WHOLE, SEEN)
    assert (thing.amodal_box, thing.visible_box) == ((0, 0, 4, 2), (0, 0, 2, 2))
    assert (thing.area, thing.occlude_rate) == (area, rate)


def test_order_is_kept_as_each_format_has_it() -> None:
    (kins,) = amodal_dataset(document([KINS_2020])).objects
    assert (kins.cluster, kins.in_front_of) == ((3, 2), None)
    front, behind = amodal_dataset(document([SYNTHETIC | {"in_front_of": [8]}, SYNTHETIC | {"id": 8}])).objects
    assert (front.cluster, front.in_front_of, behind.in_front_of) == (None, (8,), ())


def cocoa(*regions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": 1, "regions": list(regions), "size": len(regions), **fields}


FRONT = {"segmentation": OTHER_POLYGON, "name": "ball", "area": 4, "isStuff": 0, "occlude_rate": 0, "order": 1}
BEHIND = {
    "segmentation": POLYGON,
    "name": "grass",
    "area": 8,
    "isStuff": 1,
    "occlude_rate": 0.5,
    "order": 2,
    "visible_mask": SEEN,
    "invisible_mask": HIDDEN,
}


@pytest.mark.parametrize(
    ("situation", "fields", "front_of_first", "front_of_second"),
    [
        ("constraints", {"depth_constraint": "1-2"}, (5002,), ()),
        ("constraints win over order", {"depth_constraint": "2-1"}, (), (5001,)),
        ("constraints that are empty", {"depth_constraint": ""}, (), ()),
        ("order of regions that share pixels", {}, (5002,), ()),
    ],
)
def test_cocoa_regions(situation: str, fields: dict, front_of_first: tuple, front_of_second: tuple) -> None:
    first, second = amodal_dataset(document([cocoa(FRONT, BEHIND, **fields)])).objects
    assert (first.id, second.id) == (5 * REGION_STEP + 1, 5 * REGION_STEP + 2)
    assert (first.in_front_of, second.in_front_of) == (front_of_first, front_of_second), situation
    assert (first.amodal, first.visible) == (OTHER, OTHER), "nothing is hidden where there is no visible_mask"
    assert (second.visible, second.occlude_rate, second.is_stuff, first.is_stuff) == (SEEN, 0.5, True, False)


def test_of_several_annotators_the_first_counts() -> None:
    dataset = amodal_dataset(document([cocoa(FRONT, BEHIND), cocoa(FRONT) | {"id": 6}]))
    assert [thing.id for thing in dataset.objects] == [5001, 5002]
    assert dataset.notes == ("gt.json: 1 annotations of images that have one already are left out.",)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (annotation(segmentation=[POLYGON]), "gt.json has no amodal annotations"),
        (
            {k: v for k, v in KINS_2020.items() if k != "i_segm"},
            "annotations[0].i_segm is missing, expected the inmodal",
        ),
        (KINS_2019 | {"segmentation": None}, "annotations[0].segmentation is missing, expected the amodal mask"),
        (KINS_2020 | {"ico_id": "front"}, 'annotations[0].ico_id is "front", expected an integer'),
        (COCOA_CLS | {"visible_mask": None}, "visible_mask is missing, but occlude_rate is 0.5"),
        (annotation(segmentation=POLYGON, visible_mask=None), "but occlude_rate is missing too"),
        (COCOA_CLS | {"occlude_rate": 1.2}, "occlude_rate is 1.2, expected a fraction"),
        (COCOA_CLS | {"visible_mask": mask("## ##")}, "visible_mask has size [2, 2], but its image has"),
        (COCOA_CLS | {"image_id": 9}, "image_id is 9, but no image has this id"),
        (COCOA_CLS | {"category_id": 9}, "category_id is 9, but no category has this id"),
        (SYNTHETIC | {"in_front_of": 8}, "in_front_of is 8, expected a list of ids or null"),
        (
            cocoa(FRONT, depth_constraint="1-2"),
            'depth_constraint holds "1-2", expected front-back, two of the 1 regions',
        ),
        (cocoa(FRONT | {"segmentation": None}), "annotations[0].regions[0].segmentation is missing"),
        (
            cocoa({"segmentation": POLYGON, "isStuff": 0, "order": 1}),
            "annotations[0].regions[0].occlude_rate is missing",
        ),
    ],
)
def test_what_a_format_lacks_is_named(raw: dict, message: str) -> None:
    with pytest.raises(SchemaError) as error:
        amodal_dataset(document([raw]))
    assert message in str(error.value)


def test_a_test_set_without_annotations_is_refused() -> None:
    with pytest.raises(SchemaError, match="gt.json has no amodal annotations"):
        amodal_dataset(document([]))


def test_an_object_that_is_wholly_hidden_has_an_empty_visible_mask() -> None:
    for empty in ([], NOTHING):
        (thing,) = amodal_dataset(document([KINS_2020 | {"i_segm": empty}])).objects
        assert thing.visible == NOTHING


def results(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(records))
    return path


@pytest.mark.parametrize(
    ("situation", "fields", "lone", "expected"),
    [
        ("both by name", {"amodal_segmentation": WHOLE, "visible_segmentation": SEEN}, "amodal", (WHOLE, SEEN)),
        ("amodal alone", {"segmentation": WHOLE}, "amodal", (WHOLE, None)),
        ("visible alone", {"segmentation": SEEN}, "visible", (None, SEEN)),
        ("visible beside", {"segmentation": WHOLE, "visible_mask": SEEN}, "visible", (WHOLE, SEEN)),
        ("amodal beside", {"segmentation": SEEN, "amodalMask": WHOLE}, "amodal", (WHOLE, SEEN)),
        ("visible by name, alone", {"visible_segmentation": SEEN}, "amodal", (None, SEEN)),
    ],
)
def test_masks_of_a_result(tmp_path: Path, situation: str, fields: dict, lone: Any, expected: tuple) -> None:
    dataset = amodal_dataset(document([KINS_2019]))
    path = results(tmp_path, {"image_id": 1, "category_id": 4, "score": 0.5, **fields})
    (found,) = read_amodal_results(path, dataset, lone=lone)
    assert (found.amodal, found.visible) == expected, situation


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"score": float("nan")}, "[0].score is NaN, expected a finite number"),
        ({"score": None}, "[0].score is null, expected a finite number"),
        ({"category_id": None}, "[0].category_id is null, expected an integer"),
        ({"category_id": 5}, "[0].category_id is 5, but no category has this id"),
        ({"image_id": 2}, "[0].image_id is 2, but no image has this id"),
        ({"segmentation": None}, "[0] has no mask (results.json)"),
        ({"segmentation": mask("##")}, "[0].segmentation has size [1, 2]"),
    ],
)
def test_a_wrong_result_is_named(tmp_path: Path, fields: dict, message: str) -> None:
    dataset = amodal_dataset(document([KINS_2019]))
    path = results(tmp_path, {"image_id": 1, "category_id": 4, "score": 0.5, "segmentation": WHOLE} | fields)
    with pytest.raises(SchemaError) as error:
        read_amodal_results(path, dataset)
    assert message in str(error.value)


def test_hidden_parts_of_any_masks_equal_those_of_arrays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        shape = tuple(rng.integers(1, 9, 2))
        amodal, visible = (rng.random(shape) < rng.choice([0, 0.3, 0.7, 1]) for _ in range(2))
        pair = [mask_of(amodal)], [mask_of(visible)]
        assert hidden_parts(*pair) == [mask_of(amodal & ~visible)]
        assert shared_pixels(*pair) == [(amodal & visible).sum()]
        expected = (amodal & ~visible).sum() / amodal.sum() if amodal.any() else np.nan
        np.testing.assert_array_equal(hidden_fractions(*pair), [expected])


def mask_of(array: np.ndarray) -> Rle:
    return mask(" ".join("".join(".#"[int(pixel)] for pixel in row) for row in array))


def test_masks_of_different_sizes_have_no_parts() -> None:
    with pytest.raises(ValueError, match="must have one size"):
        hidden_parts([WHOLE], [mask("##")])


def read_demo() -> AmodalDataset:
    """The five images of COCOA's demo as one file."""
    annotations = [json.loads(path.read_text()) for path in sorted(COCOA_DEMO.glob("*.json"))]
    images = []
    for raw in annotations:
        size = next(region["visible_mask"]["size"] for region in raw["regions"] if "visible_mask" in region)
        images.append({"id": raw["image_id"], "height": size[0], "width": size[1]})
    return amodal_dataset(Record({"images": images, "annotations": annotations}, "", "cocoa_demo.json"))


@pytest.mark.skipif(not COCOA_DEMO.exists(), reason=f"no COCOA sample at {COCOA_DEMO}")
def test_real_cocoa_files_say_what_their_masks_say() -> None:
    things = read_demo().objects
    assert len(things) == 48
    amodal, visible = [t.amodal for t in things], [t.visible for t in things]
    hidden = hidden_fractions(amodal, visible)

    np.testing.assert_allclose(hidden, [t.occlude_rate for t in things], atol=1e-9)
    assert areas(amodal).tolist() == [t.area for t in things]
