"""Our checkpoint files, other people's torch files, and what happens when they do not fit."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vos_occ.checkpoints import load_checkpoint, load_into, save_checkpoint, trust_checkpoints
from vos_occ.structures.errors import CheckpointError


class Model(nn.Module):
    """A convolution, a batch norm (integer buffer) and a linear layer, called as in a detector."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.mask_head = nn.Linear(width, 2)


class RunsCode:
    """Unpickled without restriction, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    model = Model()
    model.backbone[1].num_batches_tracked.fill_(70_000)  # more than a half can count
    return model


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("half", [True, False])
def test_our_file_comes_back_with_all_that_it_carries(tmp_path, model, half):
    path = save_checkpoint(
        tmp_path / "sub" / "m.safetensors", model.state_dict(), "lr = 1", ["cat", "dög"], half, {"trained": "on cats"}
    )
    loaded = load_checkpoint(path)
    assert (loaded.config_text, loaded.classes, loaded.metadata) == ("lr = 1", ("cat", "dög"), {"trained": "on cats"})
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded.state_dict[name], tensor, rtol=1e-3 if half else 0, atol=1e-6 if half else 0)
    assert list(path.parent.iterdir()) == [path], "nothing unfinished is left beside it"


def test_halves_take_half_the_space_and_integers_stay_exact(tmp_path):
    weights = {"w": torch.randn(1000, 10), "steps": torch.tensor(70_001)}
    small, large = (save_checkpoint(tmp_path / f"{h}.safetensors", weights, "", [], h) for h in (True, False))
    assert small.stat().st_size < 0.55 * large.stat().st_size
    assert load_checkpoint(small).state_dict["steps"] == 70_001


def test_floats_beyond_the_range_of_halves_are_kept_whole(tmp_path):
    path = save_checkpoint(tmp_path / "m.safetensors", {"variance": torch.tensor([1e6, 1.0])}, "", [])
    assert load_checkpoint(path).state_dict["variance"].tolist() == [1e6, 1.0]


def test_shared_and_strided_tensors_can_be_saved(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    path = save_checkpoint(tmp_path / "m.safetensors", {"a": shared, "b": shared, "c": shared.T}, "", [])
    assert load_checkpoint(path).state_dict["c"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_saving_refuses_other_suffixes_and_reserved_names(tmp_path):
    with pytest.raises(CheckpointError, match=r"\.safetensors"):
        save_checkpoint(tmp_path / "m.pth", {}, "", [])
    with pytest.raises(CheckpointError, match="config"):
        save_checkpoint(tmp_path / "m.safetensors", {}, "", [], extra={"config": ""})


LAYOUTS = {
    "a bare state dict": lambda weights: weights,
    "mmengine and mmcv": lambda weights: {"state_dict": weights, "meta": {"epoch": 3}},
    "detectron2": lambda weights: {"model": weights, "iteration": 9, "scheduler": {"last": 1.0}},
    "detectron2's zoo": lambda weights: {"model": {k: v.numpy() for k, v in weights.items()}},
    "detr": lambda weights: {"model": weights, "args": argparse.Namespace(lr=1e-4)},
    "saved from DataParallel": lambda weights: {"state_dict": {f"module.{k}": v for k, v in weights.items()}},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_torch_files_of_every_layout_load(tmp_path, model, layout):
    loaded = load_checkpoint(saved(tmp_path / "m.pth", layout(model.state_dict())))
    assert not load_into(Model(), loaded)
    assert loaded.state_dict.keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    "meta", [{"CLASSES": ("a", "b"), "config": "x = 1"}, {"dataset_meta": {"classes": ["a", "b"]}, "cfg": "x = 1"}]
)
def test_classes_and_config_are_read_from_the_meta_of_mmcv_and_mmengine(tmp_path, meta):
    loaded = load_checkpoint(
        saved(tmp_path / "m.pth", {"state_dict": {"w": torch.ones(1)}, "meta": {**meta, "epoch": 3}})
    )
    assert (loaded.classes, loaded.config_text, loaded.metadata) == (("a", "b"), "x = 1", {"epoch": "3"})


def test_numpy_scalars_and_arrays_load_under_the_old_and_the_new_name_of_numpys_core(tmp_path):
    content = {"state_dict": {"w": torch.ones(1)}, "best": np.float64(0.5), "curve": np.arange(3)}
    path = saved(tmp_path / "m.pth", content)
    other = {b"numpy._core": b"numpy.core", b"numpy.core": b"numpy._core"}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "renamed.pth", "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry.endswith("data.pkl"):
                name = b"numpy._core" if b"numpy._core" in data else b"numpy.core"
                assert name in data
                data = data.replace(name, other[name])
            new.writestr(entry, data)
    for file in (path, tmp_path / "renamed.pth"):
        assert load_checkpoint(file).state_dict["w"] == 1


@pytest.mark.parametrize("zipped", [True, False], ids=["zip format", "format before torch 1.6"])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, zipped):
    target = tmp_path / "made by the pickle"
    path = tmp_path / "evil.pth"
    torch.save(
        {"state_dict": {"w": torch.ones(1)}, "meta": RunsCode(target)}, path, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(CheckpointError, match=r"mkdir.*--trust-checkpoint"):
        load_checkpoint(path)
    assert not target.exists()
    assert load_checkpoint(path, trust=True).state_dict["w"] == 1
    assert target.exists(), "the attack works where it is let in"


def test_trust_ends_with_its_block(tmp_path):
    path = saved(tmp_path / "evil.pth", {"w": torch.ones(1), "x": RunsCode(tmp_path / "made")})
    with trust_checkpoints(False), pytest.raises(CheckpointError):
        load_checkpoint(path)
    with trust_checkpoints():
        load_checkpoint(path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


class Getattr:
    """Pickles as getattr(owner, name), which mmengine's list allows."""

    def __init__(self, owner: object, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


def test_getattr_reaches_nothing_on_allowed_objects(tmp_path):
    path = saved(tmp_path / "m.pth", {"w": torch.ones(1), "x": Getattr(torch.Tensor, "numpy")})
    with pytest.raises(CheckpointError, match="getattr"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("empty.pth", b"", "is not a torch file"),
        ("page.pth", b"<html>404 Not Found</html>", "begins with b'<html>404"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1", "Is the download complete"),
        ("cut.pth", b"PK\x03\x04 and then nothing", "cannot be read as a torch file"),
        ("list.pth", pickle.dumps([1, 2], protocol=2), "cannot be read as a torch file"),
        ("new.pth", pickle.dumps({"w": {1, 2}}, protocol=4), r"more than tensors and numbers \(Unsupported operand"),
        ("text.safetensors", b"version https://git-lfs.github.com/spec/v1", "cannot be read as a safetensors file"),
        ("empty.safetensors", b"", "cannot be read as a safetensors file"),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 and then nothing", b"\x80\x02cnowhere\nThing\n."], ids=["cut off", "of code not installed"]
)
def test_trusted_files_that_cannot_be_read_are_named_in_one_line_too(tmp_path, content):
    path = tmp_path / "trusted.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="trusted.pth cannot be read as a torch file") as caught:
        load_checkpoint(path, trust=True)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="Cannot write '.*m.safetensors'.*Choose another place"):
        save_checkpoint(tmp_path / "file" / "m.safetensors", {"w": torch.ones(1)}, "{}", ["a"])
    (tmp_path / "taken.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="Cannot write '.*taken.safetensors'"):
        save_checkpoint(tmp_path / "taken.safetensors", {"w": torch.ones(1)}, "{}", ["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.safetensors"]


def test_missing_files_and_files_without_weights(tmp_path):
    with pytest.raises(CheckpointError, match="No checkpoint at .*nowhere.pth"):
        load_checkpoint(tmp_path / "nowhere.pth")
    with pytest.raises(CheckpointError, match="found the keys epoch, note"):
        load_checkpoint(saved(tmp_path / "m.pth", {"epoch": 1, "note": "no weights"}))


def differing(tmp_path: Path, change) -> str:
    """The message for a checkpoint of Model after `change` to its state dict."""
    weights = dict(Model().state_dict())
    change(weights)
    target = Model()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_into(target, load_checkpoint(saved(tmp_path / "other.pth", weights)))
    for name, tensor in target.state_dict().items():
        assert tensor.equal(before[name]), "an error leaves the model as it was"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_key_diff_names_missing_unexpected_and_reshaped(tmp_path):
    def change(weights):
        del weights["backbone.0.bias"]
        weights["extra.weight"] = torch.ones(1)
        weights["mask_head.weight"] = torch.ones(2, 8)

    message = differing(tmp_path, change)
    assert "other.pth does not fit Model: 7 tensors match" in message
    assert "1 missing (backbone.0.bias)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "mask_head.weight: checkpoint (2, 8), model (2, 4)" in message
    assert "architecture" not in message


def test_long_lists_are_cut_and_another_architecture_is_suspected(tmp_path):
    def change(weights):
        weights.clear()
        weights.update({f"encoder.{i}.weight": torch.ones(1) for i in range(5)})

    message = differing(tmp_path, change)
    assert "5 unexpected (encoder.0.weight, encoder.1.weight, encoder.2.weight, ...)" in message
    assert "another architecture: the checkpoint has encoder, the model backbone, mask_head." in message


def test_a_wrapper_in_front_of_the_names_is_recognised(tmp_path):
    wrapped = {f"detector.{name}": tensor for name, tensor in Model().state_dict().items()}
    with pytest.raises(CheckpointError, match="without the leading 'detector'"):
        load_into(Model(), load_checkpoint(saved(tmp_path / "video.pth", wrapped)))
    whole = nn.ModuleDict({"detector": Model()})
    with pytest.raises(CheckpointError, match="with 'detector' in front"):
        load_into(whole, load_checkpoint(saved(tmp_path / "image.pth", Model().state_dict())))


def test_batch_counters_may_be_missing(tmp_path, model):
    weights = {name: tensor for name, tensor in model.state_dict().items() if "num_batches" not in name}
    target = Model()
    assert not load_into(target, load_checkpoint(saved(tmp_path / "m.pth", weights)))
    assert target.mask_head.weight.equal(model.mask_head.weight)


def test_not_strict_loads_what_fits_and_says_the_rest(tmp_path, model, caplog):
    target = Model()
    weights = {**model.state_dict(), "mask_head.weight": torch.ones(9, 4)}
    before = target.mask_head.weight.clone()
    diff = load_into(target, load_checkpoint(saved(tmp_path / "m.pth", weights)), strict=False)
    assert diff.reshaped == ("mask_head.weight: checkpoint (9, 4), model (2, 4)",)
    assert target.backbone[0].weight.equal(model.backbone[0].weight)
    assert target.mask_head.weight.equal(before)
    assert "in part" in caplog.text


def test_not_strict_still_refuses_a_checkpoint_of_which_nothing_fits(tmp_path):
    with pytest.raises(CheckpointError, match="0 tensors match"):
        load_into(Model(), load_checkpoint(saved(tmp_path / "m.pth", {"w": torch.ones(1)})), strict=False)


def test_others_may_read_a_checkpoint_as_any_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = save_checkpoint(tmp_path / "model.safetensors", {"weight": torch.zeros(2)}, "{}", ("thing",))
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert {file.name for file in tmp_path.iterdir()} == {"plain", "model.safetensors"}
