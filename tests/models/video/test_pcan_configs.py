"""The small PCANs of configs/demo: what each stage begins with, and that the heads differ in nothing else."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.models.bilayer.plain_head import PlainMaskHead
from vos_occ.training import read_config, require_trainable

FOLDER = Path(__file__).parents[3] / "configs/demo"
HEADS = {"single": PlainMaskHead, "bilayer": BilayerMaskHead}
BEFORE = {"mask": "box", "refine": "mask", "e2e": "mask"}
NAMES = ["box", *(f"{stage}_{head}" for stage in BEFORE for head in HEADS)]


def config_of(name: str) -> Config:
    return read_config(FOLDER / f"bdd_pcan_{name}.py")


def without_mask_head(config: Config) -> dict[str, Any]:
    content = config.to_dict()
    del content["model"]["detector"]["roi_head"]["mask_head"]
    return {key: value for key, value in content.items() if key != "load_from"}


def test_every_config_of_the_family_is_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("bdd_pcan_*.py")) == sorted(f"bdd_pcan_{name}" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_builds_the_stage_of_its_name(name: str) -> None:
    config, (stage, _, head) = config_of(name), name.partition("_")
    require_trainable(config, name)
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        model = MODELS.build(config.model).train()  # when mmdet's backbones freeze
    assert model.stage == stage
    if head:
        assert isinstance(model.detector.roi_head.mask_head, HEADS[head])
    learns = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert ("refine_head" in learns) == (stage in ("refine", "e2e"))
    assert ("track_head" in learns) == (stage in ("box", "e2e"))
    assert not any(parameter.requires_grad for parameter in model.detector.backbone.layer7.parameters())


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_stage_begins_with_the_end_of_the_one_before(name: str) -> None:
    stage, head = name.split("_")
    before = "box" if BEFORE[stage] == "box" else f"{BEFORE[stage]}_{head}"
    steps = config_of(before).train_cfg.max_iters
    assert config_of(name).load_from == f"work_dirs/bdd_pcan_{before}/iter_{steps}.pth"


@pytest.mark.parametrize("stage", BEFORE)
def test_heads_are_trained_alike(stage: str) -> None:
    single, bilayer = (without_mask_head(config_of(f"{stage}_{head}")) for head in HEADS)
    assert single == bilayer


def test_the_released_recipe_and_end_to_end_train_as_long_on_the_same_pairs() -> None:
    refine, e2e = config_of("refine_bilayer"), config_of("e2e_bilayer")
    assert refine.train_cfg == e2e.train_cfg and refine.train_dataloader == e2e.train_dataloader
