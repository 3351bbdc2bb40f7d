from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import vos_occ
from vos_occ.checkpoints.files import load_checkpoint, save_checkpoint
from vos_occ.datasets.synthetic import CLASSES
from vos_occ.inference import load as load_module
from vos_occ.inference.load import PRECISIONS, build_model, config_from_file, load, resolve_device, shipped
from vos_occ.inference.session import VideoSession
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures.errors import CheckpointError, InputError


@pytest.fixture
def config_text(tiny_checkpoint: Path) -> str:
    return load_checkpoint(tiny_checkpoint).config_text


def test_a_file_of_ours_needs_no_config(tiny_checkpoint: Path, tiny_model: OccMaskTrackRCNN) -> None:
    model = vos_occ.load(tiny_checkpoint)
    assert model.classes == tiny_model.classes
    assert (model.name, len(model.checkpoint_sha256)) == ("tiny", 64)
    assert not model.training


def test_half_precision_files_predict_what_the_model_did(
    tiny_checkpoint: Path, tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]
) -> None:
    (ours,) = VideoSession(tiny_model).step(tiny_frames[0])
    (theirs,) = VideoSession(load(tiny_checkpoint)).step(tiny_frames[0])
    assert len(ours) > 2
    np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=0.5)
    np.testing.assert_allclose(theirs.scores, ours.scores, atol=0.01)
    np.testing.assert_allclose(theirs.hidden, ours.hidden, atol=0.01)


def test_layers_are_fused_unless_asked_not_to(tiny_checkpoint: Path) -> None:
    assert not any("conv" in name for name, _ in load(tiny_checkpoint).named_parameters())
    assert any("conv" in name for name, _ in load(tiny_checkpoint, fuse=False).named_parameters())


def test_bfloat16_finds_what_float32_does(tiny_checkpoint: Path, tiny_frames: list[np.ndarray]) -> None:
    exact, rough = (VideoSession(load(tiny_checkpoint, precision=p)).step(tiny_frames[0])[0] for p in PRECISIONS)
    apart = np.abs(rough.boxes[:, None] - exact.boxes).max(axis=2).min(axis=1)
    assert len(apart) > 2
    assert 0 < np.median(apart) < 2, "the same boxes, in another precision"


@pytest.mark.parametrize(("precision", "fuse"), [("float16", True), ("bfloat16", False)])
def test_a_precision_that_cannot_be_had_is_said(tiny_checkpoint: Path, precision: str, fuse: bool) -> None:
    with pytest.raises(InputError, match=f"precision is float32, or with fuse=True bfloat16, found '{precision}'"):
        load(tiny_checkpoint, precision=precision, fuse=fuse)


def test_a_config_file_overrides_the_one_inside(tiny_checkpoint: Path, tiny_config_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "other.py"
    config.write_text(tiny_config_file.read_text() + "model['test_scale'] = (64, 64)\n")
    assert load(tiny_checkpoint, config=config).test_scale == (64, 64)


def test_shipped_names_are_files_of_the_package(tiny_checkpoint: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(load_module, "WEIGHTS", tmp_path)
    assert shipped() == []
    (tmp_path / "people.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    assert shipped() == ["people"]
    assert load("people").name == "people"
    with pytest.raises(InputError, match=r"'dogs' is neither a file nor a shipped name \(shipped: people\)"):
        load("dogs")


def test_classes_in_another_order_than_trained_are_refused_and_other_names_told(
    tiny_model: OccMaskTrackRCNN, tiny_config_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = tmp_path / "iter_6.pth"
    state = tiny_model.state_dict()
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": CLASSES[::-1]}}}, trained)
    with pytest.raises(CheckpointError, match="the same in another order. Correct the config's `classes`"):
        load(trained, config=tiny_config_file)
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": ("Ball", *CLASSES[1:])}}}, trained)
    assert load(trained, config=tiny_config_file).classes == CLASSES
    (said,) = [record.getMessage() for record in caplog.records]
    assert "trained with the classes Ball, brick" in said and "the config says ball, brick" in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.pth' is neither a file nor a shipped name"):
        load(tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth"])
def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello\n" * 9)
    with pytest.raises(CheckpointError) as error:
        load(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_another_architecture_gives_a_readable_difference(tiny_config_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3), "layer2.bias": torch.zeros(2)}}, path)
    with pytest.raises(CheckpointError) as error:
        load(path, config=tiny_config_file)
    message = str(error.value)
    assert "does not fit OccMaskTrackRCNN: 0 tensors match" in message
    assert "2 unexpected (layer1.weight, layer2.bias)" in message
    assert "another architecture" in message
    assert len(message) < 600
    assert "\n" not in message


def test_another_number_of_classes_names_the_tensors(
    tiny_checkpoint: Path, tiny_config_file: Path, tmp_path: Path
) -> None:
    config = tmp_path / "two.py"
    change = "model['detector']['roi_head']['bbox_head']['num_classes'] = 2\nclasses = ('a', 'b')\n"
    config.write_text(tiny_config_file.read_text() + change)
    with pytest.raises(CheckpointError, match=r"of another shape \(detector.roi_head.bbox_head.fc_cls.weight"):
        load(tiny_checkpoint, config=config)


def test_a_checkpoint_without_a_config_asks_for_one(tiny_model: OccMaskTrackRCNN, tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    torch.save({"state_dict": tiny_model.state_dict()}, path)
    with pytest.raises(CheckpointError, match="carries no config.*--config"):
        load(path)


def test_a_config_as_program_text_is_not_run(tiny_model: OccMaskTrackRCNN, tmp_path: Path) -> None:
    meta = {"cfg": "raise SystemExit('run')", "dataset_meta": {"classes": ("a",)}}
    torch.save({"state_dict": tiny_model.state_dict(), "meta": meta}, tmp_path / "mmdet.pth")
    with pytest.raises(CheckpointError, match="carries its config as program text, which is not run"):
        load(tmp_path / "mmdet.pth")


def test_a_config_inside_that_is_no_model_is_refused(tiny_model: OccMaskTrackRCNN, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "odd.safetensors", tiny_model.state_dict(), "[1]", tiny_model.classes)
    with pytest.raises(CheckpointError, match="carries a config that is no model"):
        load(path)


def test_only_trust_lets_a_checkpoint_run_code(
    tiny_model: OccMaskTrackRCNN, tiny_config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    class Talks:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return print, ("code ran",)

    path = tmp_path / "talks.pth"
    torch.save({"state_dict": tiny_model.state_dict(), "note": Talks()}, path)
    with pytest.raises(CheckpointError, match="which could run code"):
        load(path, config=tiny_config_file)
    assert "code ran" not in capsys.readouterr().out
    assert load(path, config=tiny_config_file, trust_checkpoint=True).classes == tiny_model.classes
    assert "code ran" in capsys.readouterr().out


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", "meta", ""])
def test_devices_that_cannot_be_used_are_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"cannot use the device '{device}' here. Use auto, cpu"):
        resolve_device(device)


def test_auto_finds_a_device() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


def test_the_device_is_looked_at_before_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device"):
        load(tmp_path / "absent.pth", device="gpu")


def test_a_config_without_model_or_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("classes = ('a',)\n")
    with pytest.raises(InputError, match="has no `model` and `classes`"):
        config_from_file(tmp_path / "config.py")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "NoSuchModel"}, "NoSuchModel is not in the mmdet::model registry"),
        ({"speed": 9}, "unexpected keyword argument 'speed'"),
        ({"type": "MaskRCNN"}, "cannot be built"),
    ],
    ids=["unknown model", "unknown argument", "arguments of another model"],
)
def test_a_model_config_that_cannot_be_built_is_one_line(config_text: str, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        build_model(json.loads(config_text) | change, CLASSES)
    assert "\n" not in str(error.value)


def test_a_model_that_is_no_video_model_is_refused() -> None:
    with pytest.raises(InputError, match="model is FPN, no video model"):
        build_model({"type": "FPN", "in_channels": [8], "out_channels": 8, "num_outs": 1}, ("a",))


def test_as_many_names_as_classes(config_text: str) -> None:
    with pytest.raises(InputError, match="names 1 classes, but num_classes of its model's bbox_head is 6"):
        build_model(json.loads(config_text), ("a",))
