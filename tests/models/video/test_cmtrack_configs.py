"""configs/cmtrack and the demo's: the models are what the papers say, and differ from MaskTrack's where they should."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from functools import cache
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.inference.load import build_model
from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.models.bilayer.plain_head import PlainMaskHead
from vos_occ.models.video.cmtrack import OccCMTrackRCNN
from vos_occ.training import read_config, require_trainable

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "configs/cmtrack"
HEADS = {"fcn": PlainMaskHead, "bilayer": BilayerMaskHead}
CLASSES = {"ytvis2019": 40, "ytvis2021": 40, "ovis": 25}
RECIPES = [f"cmtrack_{head}_r50_{data}" for head in HEADS for data in CLASSES]
PUBLISHED = {
    "cmtrack_fcn_r50_ovis": "15.4",
    "cmtrack_bilayer_r50_ovis": "17.1",
    "cmtrack_fcn_r50_ytvis2019": "32.1",
}


@pytest.fixture(params=RECIPES)
def config(request: pytest.FixtureRequest) -> Config:
    return read_config(FOLDER / f"{request.param}.py")


def name_of(config: Config) -> str:
    return Path(config.filename).stem


def twin_of(config: Config) -> Config:
    """The MaskTrack R-CNN recipe for the same data and head."""
    return read_config(ROOT / "configs/masktrack" / f"{name_of(config).replace('cmtrack', 'masktrack')}.py")


@cache
def parts(path: str) -> nn.ModuleDict:
    """Without memory; as a whole, a video model tries its tracking on real numbers."""
    model = read_config(path).model
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        names = ("detector", "track_head", "calibration")
        return nn.ModuleDict({part: MODELS.build(model[part]) for part in names if part in model})


def test_every_config_of_the_folder_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(RECIPES)


def test_recipe_says_what_is_published_and_that_it_was_not_trained(config: Config) -> None:
    text, published = Path(config.filename).read_text(), PUBLISHED.get(name_of(config))
    assert f"# Published: {published} AP" in text if published else "# No such result is published" in text
    assert "# NOT TRAINED HERE" in text
    assert text.count("_base_") == 1


def test_model_is_masktracks_and_a_calibration(config: Config) -> None:
    require_trainable(config, config.filename)
    model, twin = parts(config.filename), parts(twin_of(config).filename)
    _, head, _, data = name_of(config).split("_")
    assert config.model.type == "OccCMTrackRCNN" and len(config.classes) == CLASSES[data]
    assert type(model["detector"].roi_head.mask_head) is HEADS[head]
    for part in twin:
        found, expected = ([(n, p.shape) for n, p in m[part].named_parameters()] for m in (model, twin))
        assert found == expected
    calibration = model["calibration"]
    assert calibration.correlation.shifts == tuple(range(-16, 17, 2))
    assert [name for name, _ in calibration.named_parameters()] == [
        *(f"convs.{i}.conv.{kind}" for i in range(3) for kind in ("weight", "bias")),
        *("conv_offset.weight", "conv_offset.bias", "warp.weight"),
    ]
    first, others = 17**2 * 256 * 9 + 256, 2 * (256 * 256 * 9 + 256)
    assert sum(p.numel() for p in calibration.parameters()) == first + others + 256 * 18 * 9 + 18 + 256 * 256 * 9


def test_settings_are_masktracks_but_for_the_reference(config: Config) -> None:
    """Where CMTrack's own are published (OVIS), those of configs/masktrack are written after them."""
    twin = twin_of(config)
    dataset = config.train_dataloader.dataset
    assert dataset.frame_range == config.model.reach == 5
    for name in ("param_scheduler", "train_cfg", "optim_wrapper", "auto_scale_lr", "classes", "test_dataset"):
        assert config[name] == twin[name], name
    for name in ("train_cfg", "test_cfg", "init_cfg"):
        assert config.model.detector[name] == twin.model.detector[name]
    without_range = {key: value for key, value in dataset.items() if key != "frame_range"}
    assert without_range == {k: v for k, v in twin.train_dataloader.dataset.items() if k != "frame_range"}


def test_the_demo_model_begins_as_the_shipped_one() -> None:
    config = read_config(ROOT / "configs/demo/synthetic_cmtrack.py")
    require_trainable(config, config.filename)
    model = build_model(config.model.to_dict(), config.classes)
    assert isinstance(model, OccCMTrackRCNN) and (ROOT / config.load_from).is_file()
    shipped = load_checkpoint(ROOT / config.load_from).state_dict
    missing, unexpected = model.load_state_dict(shipped, strict=False)
    counters = {name for name in missing if name.endswith("num_batches_tracked")}
    assert not unexpected and {name.split(".")[0] for name in set(missing) - counters} == {"calibration"}
    assert not model.calibration.warp.weight.any() and not model.calibration.conv_offset.bias.any()
