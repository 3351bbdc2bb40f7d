"""SOD: whole objects pasted in front of others, as much of them hidden as asked, the same however it is made."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from eval.readers.coco import read_coco
from vos_occ.datasets.amodal import amodal_samples
from vos_occ.datasets.sod import Composition, ObjectBank, annotations_of, compose, place
from vos_occ.datasets.sod_writer import PART
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

HEIGHT, WIDTH = 120, 180


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "make_sod.py"
    spec = importlib.util.spec_from_file_location("script_make_sod", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def annotation(number: int, image_id: int, box: list[int], category: int = 1, **fields: Any) -> dict[str, Any]:
    mask = rle.from_box([box[0], box[1], box[0] + box[2], box[1] + box[3]], HEIGHT, WIDTH)
    facts = {"segmentation": mask, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    return {"id": number, "image_id": image_id, "category_id": category, **facts, **fields}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images of noise, each with two whole objects that stand apart, of three classes, one of them rare."""
    root, rng = tmp_path_factory.mktemp("sod"), np.random.default_rng(0)
    (root / "images").mkdir()
    annotations = []
    for image_id in range(1, 5):
        cv2.imwrite(str(root / "images" / f"{image_id}.png"), rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
        for place_x in (5, 95):
            size = rng.integers(36, 60, 2).tolist()
            category = 3 if len(annotations) == 7 else 1 + len(annotations) % 2
            annotations.append(annotation(len(annotations) + 1, image_id, [place_x, 10, *size], category))
    annotations.append(annotation(90, 1, [20, 80, 20, 20], 1))  # too small for the bank
    write(root / "instances.json", annotations)
    return root


def write(path: Path, annotations: list[dict[str, Any]]) -> Path:
    images = [{"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in range(1, 5)]
    categories = [{"id": i, "name": f"class {i}"} for i in (1, 2, 3)]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return path


def run(script: ModuleType, data: Path, out: Path, *options: str) -> int:
    arguments = [str(data / "instances.json"), "--images", str(data / "images"), "--out", str(out), "--count", "60"]
    return script.main([*arguments, *options])


@pytest.fixture(scope="module")
def made(script: ModuleType, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    assert run(script, data, out) == 0
    return out


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is in it


def test_every_occludee_is_hidden_by_the_share_that_was_asked_for(made: Path) -> None:
    content = json.loads((made / "annotations.json").read_text())
    assert len(content["images"]) > 50
    for image in content["images"]:
        records = {r["id"]: r for r in content["annotations"] if r["image_id"] == image["id"]}
        front = max(records.values(), key=lambda r: r["id"])
        (behind,) = (r for r in records.values() if r.get("hidden"))
        whole, seen, pasted = (
            rle.decode(r) for r in (behind["amodal_segmentation"], behind["segmentation"], front["segmentation"])
        )
        share = (whole & pasted).sum() / whole.sum()
        assert 0.2 <= share <= 0.5 and behind["hidden"] == pytest.approx(share)
        np.testing.assert_array_equal(seen, whole & ~pasted)
        assert behind["id"] in front["in_front_of"] and behind["in_front_of"] == [] and front["hidden"] == 0
        for record in records.values():
            if record is not front:
                assert not (rle.decode(record["segmentation"]) & pasted).any(), "what is covered is not seen"
                covered = (rle.decode(record["amodal_segmentation"]) & pasted).any()
                assert covered == (record["id"] in front["in_front_of"])


def test_classes_of_occludees_go_in_turn_and_those_of_occluders_are_uniform(data: Path) -> None:
    bank = ObjectBank.collect(read_coco(data / "instances.json"))
    pictures = [compose(bank, number, 0) for number in range(600)]
    assert None not in pictures
    occludees = Counter(picture.occludee.category_id for picture in pictures)
    assert set(occludees.values()) == {200}
    occluders = Counter(picture.occluder.category_id for picture in pictures if picture.occludee.category_id != 3)
    assert min(occluders.values()) > 0.7 * max(occluders.values()), occluders


def test_the_object_is_pasted_pixel_by_pixel(data: Path) -> None:
    bank = ObjectBank.collect(read_coco(data / "instances.json"))
    picture = compose(bank, 5, 3)
    rng = np.random.default_rng(1)
    base, source = rng.integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    painted = picture.paint(base, source)
    inside = rle.decode(picture.pasted())
    np.testing.assert_array_equal(painted[~inside], base[~inside])
    np.testing.assert_array_equal(painted[inside], source[rle.decode(picture.occluder.segmentation)])


def test_datasets_read_it(made: Path) -> None:
    modal = amodal_samples(made / "annotations.json", made / "images", format="coco")
    whole = amodal_samples(made / "annotations.json", made / "images", format="synthetic")
    assert len(modal) == len(whole) > 50
    hidden = whole[0]["data_samples"].gt_instances.hidden
    assert 0.2 <= float(hidden.max()) <= 0.5
    assert (whole[0]["data_samples"].gt_instances.in_front == 1).any()


# How it is made


def test_the_result_depends_neither_on_workers_nor_on_stops(
    script: ModuleType, data: Path, made: Path, tmp_path: Path
) -> None:
    assert run(script, data, tmp_path / "two", "--workers", "2") == 0
    assert files_of(tmp_path / "two") == files_of(made)
    stopped = tmp_path / "stopped"
    shutil.copytree(made, stopped)
    (stopped / "annotations.json").unlink()
    (stopped / "parts" / "000001.json").unlink()
    (stopped / "images" / f"{PART:08d}.jpg").unlink()
    first = stopped / "images" / "00000000.jpg"
    before = first.stat().st_mtime_ns
    assert run(script, data, stopped) == 0
    assert files_of(stopped) == files_of(made)
    assert first.stat().st_mtime_ns == before, "what is there is not made again"


def test_another_seed_makes_other_pictures(script: ModuleType, data: Path, made: Path, tmp_path: Path) -> None:
    assert run(script, data, tmp_path / "other", "--seed", "1", "--count", "5") == 0
    assert (tmp_path / "other/images/00000000.jpg").read_bytes() != (made / "images/00000000.jpg").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "9"], "was made with another seed. Use --overwrite"),
        (["--overlap", "0.3", "0.4"], "was made with another overlap"),
        ([], "annotations.json' already exists"),
    ],
)
def test_other_settings_do_not_mix(
    script: ModuleType, data: Path, made: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(made)
    assert run(script, data, made, *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert files_of(made) == before


def test_overwrite_starts_anew(script: ModuleType, data: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy")
    assert run(script, data, tmp_path / "copy", "--seed", "2", "--count", "5", "--overwrite") == 0
    content = json.loads((tmp_path / "copy" / "annotations.json").read_text())
    assert len(content["images"]) <= 5


def test_a_folder_of_something_else_is_left_alone(
    script: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(script, data, tmp_path) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_missing_image_is_one_line(
    script: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(data / "instances.json"), "--images", str(tmp_path / "absent"), "--count", "3"]
    assert script.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("make_sod: Image ") and "does not exist" in error and error.count("\n") == 1
    assert script.main([str(tmp_path / "no.json"), *arguments[1:], "--out", str(tmp_path / "out2")]) == 2
    assert "no.json do not exist" in capsys.readouterr().err


# The bank


@pytest.mark.parametrize(
    ("situation", "fields", "kept"),
    [
        ("whole", {}, True),
        ("crowd", {"iscrowd": 1}, False),
        ("small", {"box": [60, 40, 30, 30]}, False),
        ("at the border", {"box": [60, 0, 40, 40]}, False),
        ("overlapped", {"box": [30, 20, 40, 40]}, False),
        ("in two pieces", {"pieces": True}, False),
    ],
)
def test_the_bank_has_whole_objects_only(tmp_path: Path, situation: str, fields: dict, kept: bool) -> None:
    fields = dict(fields)
    record = annotation(7, 1, fields.pop("box", [100, 60, 40, 40]))
    if fields.pop("pieces", False):
        mask = rle.decode(record["segmentation"])
        mask[:, 115:120] = False
        record["segmentation"] = rle.encode(mask)
    others = [annotation(1, 1, [10, 10, 40, 40]), annotation(2, 2, [10, 10, 40, 40]), annotation(3, 3, [9, 9, 40, 40])]
    bank = ObjectBank.collect(read_coco(write(tmp_path / "a.json", [*others, record | fields])))
    ids = {thing.id for members in bank.by_class.values() for thing in members}
    assert (7 in ids) == kept, situation
    assert {2, 3} <= ids


def test_a_bank_of_nothing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [annotation(1, 1, [10, 10, 40, 40])])
    with pytest.raises(InputError, match="has fewer than two whole objects of at least 1024 pixels"):
        ObjectBank.collect(read_coco(path))


def test_a_place_covers_a_share_within_the_bounds_or_there_is_none() -> None:
    rng = np.random.default_rng(0)
    occludee = rle.from_box([60, 40, 120, 100], HEIGHT, WIDTH)
    target, corners = rle.decode(occludee), set()
    for _ in range(50):
        y, x = place(np.ones((30, 50), bool), occludee, (0.2, 0.5), rng)
        corners.add((y, x))
        assert 0.2 <= target[y : y + 30, x : x + 50].sum() / target.sum() <= 0.5
        assert y + 30 <= HEIGHT and x + 50 <= WIDTH
    assert len(corners) > 5
    assert place(np.ones((5, 5), bool), occludee, (0.2, 0.5), rng) is None, "too small to cover a fifth"
    assert place(np.ones((HEIGHT + 1, 5), bool), occludee, (0.2, 0.5), rng) is None, "larger than the image"


def test_what_is_covered_wholly_is_no_object_any_more(data: Path) -> None:
    bank = ObjectBank.collect(read_coco(data / "instances.json"))
    things = [thing for members in bank.by_class.values() for thing in members]
    front, behind = things[0], next(thing for thing in things if thing.image_id != things[0].image_id)
    composition = Composition(behind, front, (0, 0), 0.3)
    swallowed = read_coco(write(data / "tiny.json", [annotation(50, behind.image_id, [2, 2, 3, 3])])).annotations[0]
    records = annotations_of(composition, [behind, swallowed], 1, 10)
    assert [record["source_id"] for record in records] == [behind.id, front.id]
    assert [record["id"] for record in records] == [10, 11]
