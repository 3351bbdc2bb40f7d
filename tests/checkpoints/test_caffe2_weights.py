"""ImageNet weights of Detectron: pickles read without running them, and a ResNet that computes what theirs did."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import codecs
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.backbones import ResNet
from torch import Tensor

from vos_occ.checkpoints import mmengine_scheme
from vos_occ.checkpoints.caffe2_keys import convert
from vos_occ.checkpoints.files import load_checkpoint, save_checkpoint
from vos_occ.checkpoints.key_diff import key_diff
from vos_occ.structures.errors import CheckpointError

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
SETTINGS = {"style": "caffe", "norm_cfg": {"type": "BN", "requires_grad": False}, "norm_eval": True}
Shapes = dict[str, tuple[int, ...]]


def blobs(depth: int, stem: int = 64) -> Shapes:
    """Every blob of MSRA/R-50.pkl or R-101.pkl, at a width."""

    def affine(norm: str, c: int) -> Shapes:
        return {f"{norm}_s": (c,), f"{norm}_b": (c,)}

    shapes = {"conv1_w": (stem, 3, 7, 7), "conv1_b": (stem,), **affine("res_conv1_bn", stem)}
    before = stem
    for stage, count in enumerate(BLOCKS[depth], start=2):
        width = stem * 2 ** (stage - 2)
        for i in range(count):
            layers = {"2a": (width, before, 1, 1), "2b": (width, width, 3, 3), "2c": (4 * width, width, 1, 1)}
            if i == 0:
                layers["1"] = (4 * width, before, 1, 1)
            for branch, shape in layers.items():
                name = f"res{stage}_{i}_branch{branch}"
                shapes |= {f"{name}_w": shape, **affine(f"{name}_bn", shape[0])}
            before = 4 * width
    return shapes | {"fc1000_w": (1000, before), "fc1000_b": (1000,)}


def random_arrays(shapes: Shapes) -> dict[str, np.ndarray]:
    """No two alike; activations stay small."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            values = rng.normal(size=shape) / np.prod(shape[1:]) ** 0.5
        else:
            values = rng.random(shape) + (0.5 if name.endswith("_s") else -0.5)
        arrays[name] = (values * (1e-9 if name == "conv1_b" else 1)).astype(np.float32)
    return arrays


def their_resnet(arrays: dict[str, np.ndarray], image: Tensor) -> list[Tensor]:
    """Caffe2's network in its own names: convolution, factor, offset; the stride is in the first 1 x 1."""

    def conv(name: str, norm: str, x: Tensor, stride: int, padding: int) -> Tensor:
        weight, factor, offset = (torch.from_numpy(arrays[n]) for n in (f"{name}_w", f"{norm}_s", f"{norm}_b"))
        return F.conv2d(x, weight, None, stride, padding) * factor[:, None, None] + offset[:, None, None]

    def branch(name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return conv(name, f"{name}_bn", x, stride, padding)

    x = F.max_pool2d(conv("conv1", "res_conv1_bn", image, 2, 3).relu(), 3, stride=2, padding=1)
    stages = []
    for stage, count in enumerate(BLOCKS[50], start=2):
        for i in range(count):
            block, stride = f"res{stage}_{i}_branch", 2 if i == 0 and stage > 2 else 1
            y = branch(f"{block}2b", branch(f"{block}2a", x, stride).relu(), 1, 1).relu()
            x = (branch(f"{block}2c", y) + (branch(f"{block}1", x, stride) if i == 0 else x)).relu()
        stages.append(x)
    return stages


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did: as its text, without a word about an encoding."""

    def save_text(self, data: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_text}


def write_pickle(path: Path, content: Any, python: int = 3, protocol: int = 2) -> Path:
    with path.open("wb") as file:
        (Python2Pickler if python == 2 else pickle.Pickler)(file, protocol=protocol).dump(content)
    return path


@pytest.mark.parametrize("depth", [50, 101])
def test_every_blob_has_its_place_and_every_place_its_blob(depth: int) -> None:
    with torch.device("meta"):
        ours = ResNet(depth, **SETTINGS).state_dict()
        converted = convert({name: torch.empty(shape) for name, shape in blobs(depth).items()})
    diff = key_diff(ours, converted.state_dict)
    assert not converted.unknown
    assert not diff, str(diff)
    learned = [name for name in blobs(depth) if not name.startswith(("fc1000", "conv1_b"))]
    norms = sum(name.endswith("_s") for name in learned)
    assert diff.matching == len(learned) + 2 * norms, "each norm gets a mean and a variance"


@pytest.mark.parametrize("python", [2, 3])
def test_a_resnet_begins_with_their_weights_and_computes_what_theirs_did(python: int, tmp_path: Path) -> None:
    arrays = random_arrays(blobs(50, stem=8))
    pickled = write_pickle(tmp_path / "R-50.pkl", arrays, python)
    converted = convert(load_checkpoint(pickled).state_dict)
    save_checkpoint(tmp_path / "r50.safetensors", converted.state_dict, "{}", (), half=False)
    mmengine_scheme.install()
    init = {"type": "Pretrained", "checkpoint": str(tmp_path / "r50.safetensors")}
    model = ResNet(50, base_channels=8, **SETTINGS, init_cfg=init)
    model.init_weights()
    model.eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for found, expected in zip(model(image), their_resnet(arrays, image), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_weights_lie_in_blobs_and_momentum_is_left_out(protocol: int, tmp_path: Path) -> None:
    arrays = random_arrays({"conv1_w": (8, 3, 7, 7), "conv1_w_momentum": (8, 3, 7, 7)})
    path = write_pickle(tmp_path / "x.pkl", {"blobs": arrays, "cfg": "a text"}, protocol=protocol)
    converted = convert(load_checkpoint(path).state_dict)
    assert list(converted.state_dict) == ["conv1.weight"] and not converted.unknown
    np.testing.assert_array_equal(converted.state_dict["conv1.weight"], arrays["conv1_w"])


class Command:
    """What a pickle may hold instead of weights."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (Command(os.mkdir, "made"), r"\w+\.mkdir"),
        (Command(eval, "__import__('os').mkdir('made')"), r"\w+\.eval"),
        (Command(codecs.encode, "made", "rot13"), "_codecs.encode to 'rot13'"),
    ],
)
def test_a_pickle_that_would_run_code_is_refused_by_name(
    command: Command, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_pickle(tmp_path / "x.pkl", {"conv1_w": command})
    with pytest.raises(CheckpointError, match=rf"x\.pkl was not loaded: it holds the object {name}, which could"):
        load_checkpoint(path)
    assert not (tmp_path / "made").exists()


def test_who_trusts_a_pickle_may_load_it(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "x.pkl", {"conv1_w": np.zeros(3, np.float32), "made": Command(set, (1, 2))})
    assert list(load_checkpoint(path, trust=True).state_dict) == ["conv1_w"]
    with pytest.raises(CheckpointError, match="set, which could run code"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", pickle.dumps({"a": np.zeros(9)})[:-20]])
def test_damaged_pickles_are_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pkl cannot be read as a pickle of arrays \([^\n]+\)\.$"):
        load_checkpoint(tmp_path / "x.pkl")


def test_a_pickle_without_arrays_of_numbers_holds_no_weights(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "x.pkl", {"names": np.array(["a", "b"]), "objects": np.array([None])})
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_checkpoint(path)
