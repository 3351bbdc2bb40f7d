"""Configs of mmdet 3.x become ours: those that it comes with, read as mmengine reads them, but without running them."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from functools import cache
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

import vos_occ.models.video.masktrack  # noqa: F401  (registers)
import vos_occ.models.video.pcan  # noqa: F401  (registers)
from vos_occ.config_conversion import ConvertedConfig, convert_config, read_plain_config
from vos_occ.structures.errors import InputError
from vos_occ.tracking.quasi_dense import QuasiDenseRules
from vos_occ.training import read_config, require_trainable

OURS = Path(__file__).parents[2] / "configs"
THEIRS = Path(mmdet.__file__).parent / ".mim/configs"
MASKTRACK = THEIRS / "masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py"
RESNEXT = THEIRS / "masktrack_rcnn/masktrack-rcnn_mask-rcnn_x101_fpn_8xb1-12e_youtubevis2021.py"
QDTRACK = THEIRS / "qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py"


@cache
def converted(path: Path) -> ConvertedConfig:
    return convert_config(read_plain_config(path))


def written(path: Path, folder: Path) -> Config:
    (folder / "ours.py").write_text(converted(path).text(path))
    return read_config(folder / "ours.py")


def names_and_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        parts = {part: MODELS.build(config.model[part]) for part in ("detector", "track_head")}
    return {f"{p}.{name}": tuple(t.shape) for p, part in parts.items() for name, t in part.state_dict().items()}


@pytest.mark.parametrize("path", [MASKTRACK, RESNEXT, QDTRACK], ids=lambda path: path.stem[:20])
def test_configs_are_read_as_mmengine_reads_them(path: Path) -> None:
    assert read_plain_config(path).values == Config.fromfile(path).to_dict()


def test_masktrack_is_our_own_config_but_for_what_mmdet_does_otherwise(tmp_path: Path) -> None:
    theirs = written(MASKTRACK, tmp_path)
    ours = read_config(OURS / "masktrack/masktrack_fcn_r50_ytvis2019.py")
    require_trainable(theirs, "ours.py")
    assert names_and_shapes(theirs) == names_and_shapes(ours)
    for name in ("classes", "param_scheduler", "train_cfg"):
        assert theirs[name] == ours[name], name
    for name in ("data_preprocessor", "association", "test_scale"):
        assert theirs.model[name] == ours.model[name], name
    assert theirs.train_dataloader.dataset.pipeline == ours.train_dataloader.dataset.pipeline
    assert (theirs.train_dataloader.dataset.frame_range, theirs.train_dataloader.batch_size) == (100, 1)
    assert theirs.optim_wrapper == {**ours.optim_wrapper, "optimizer": {**ours.optim_wrapper.optimizer, "lr": 0.00125}}
    assert theirs.model.memory == {**ours.model.memory, "retain_frames": 20, "label_memory": "last"}
    assert theirs.model.detector.init_cfg == ours.model.detector.init_cfg
    assert theirs.model.detector.test_cfg.rcnn.score_thr == 0.01
    assert theirs.test_dataset.image_root == "data/youtube_vis_2019/valid/JPEGImages"
    assert "val_dataset" not in theirs, "it is the same"


def test_what_has_no_place_is_listed_and_nothing_else() -> None:
    assert [entry.split(" = ")[0] for entry in converted(MASKTRACK).unsupported] == [
        "train_cfg.val_begin", "default_hooks.visualization", "val_cfg", "test_cfg", "val_evaluator",
        "test_evaluator", "vis_backends", "visualizer", "log_processor", "log_level", "env_cfg",
    ]  # fmt: skip


def test_qdtrack_is_the_first_stage_of_pcan_and_sees_rgb(tmp_path: Path) -> None:
    config = written(QDTRACK, tmp_path)
    assert config.model.type == "OccPCAN" and config.model.stage == "box"
    names = names_and_shapes(config)
    assert names["detector.roi_head.bbox_head.fc_cls.bias"] == (2,) and not any("mask_head" in name for name in names)
    assert names["track_head.embed_head.fc_embed.weight"] == (256, 1024)
    assert config.model.track_head.embed_head.loss_track_aux.neg_margin == 0.1
    assert QuasiDenseRules(**config.model.tracker) == QuasiDenseRules(0.9, 0.5, retain_frames=30)
    assert config.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert any("backbone.conv1.weight" in entry for entry in converted(QDTRACK).unsupported)
    assert any("MOTChallengeDataset" in entry for entry in converted(QDTRACK).unsupported)


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = dict(a=1)\nx.pop('b')\n", r"line 2: `x.pop\('b'\)` fails: 'b'"),
        ("x = [1]\nx.update(a=1)\n", "line 2: `x` would have to be run"),
        ("x = dict(a=1)\nx.setdefault('b', 2)\n", "line 2: `x.setdefault"),
        ("del open('x').read\n", "line 1: "),
        ("__import__('os').environ.update(a='b')\n", "would have to be run"),
    ],
)
def test_what_would_have_to_be_run_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(text)
    with pytest.raises(InputError, match=message):
        read_plain_config(tmp_path / "theirs.py")


def test_a_change_does_not_reach_what_was_written_with_the_name_before(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("model = dict(a=dict(b=1), c=2)\n")
    (tmp_path / "theirs.py").write_text(
        "_base_ = ['base.py']\n"
        "part = _base_.model\n"
        "part.a.update(b=3)\n"
        "part['d'] = 4\n"
        "part.pop('c')\n"
        "del _base_.model\n"
        "model = dict(part=part)\n"
        "del part\n"
    )
    assert read_plain_config(tmp_path / "theirs.py").values == {"model": {"part": {"a": {"b": 3}, "d": 4}}}
