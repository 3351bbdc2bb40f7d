"""Configs of mmtrack 0.x become ours: every key is mapped or listed, and the models are equal layer by layer.

The texts hold the settings of docs/sources.md, trackers 1.1 to 1.4 and 3.1, in the form that such configs have.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
from pathlib import Path
from types import ModuleType

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

ROOT = Path(__file__).parents[2]
OURS = ROOT / "configs/masktrack/masktrack_fcn_r50_ytvis2019.py"

DETECTOR = """
rpn_assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True)
rcnn_assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=True)
rpn_nms = dict(type='nms', iou_threshold=0.7)
model = dict(detector=dict(
    type={kind!r},
    backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                  norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch'),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    rpn_head=dict(type='RPNHead', in_channels=256, feat_channels=256,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[.5, 1., 2.], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[.0] + [.0, .0, .0], target_stds=[1., 1., 1., 1.]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    roi_head=dict(type='StandardRoIHead',
        bbox_roi_extractor=dict(type='SingleRoIExtractor', out_channels=256, featmap_strides=[4, 8, 16, 32],
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        bbox_head=dict(type='Shared2FCBBoxHead', in_channels=256, fc_out_channels=1024, roi_feat_size=7,
            num_classes=80, reg_class_agnostic=False,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.], target_stds=[.1, .1, .2, .2]),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0)),{mask}),
    train_cfg=dict(
        rpn=dict(assigner=rpn_assigner, allowed_border=-1, pos_weight=-1, debug=False,
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False)),
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000, nms=rpn_nms, min_bbox_size=0),
        rcnn=dict(assigner=rcnn_assigner, pos_weight=-1, debug=False,
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True))),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=rpn_nms, min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))))
"""
MASK = """
        mask_roi_extractor=dict(type='SingleRoIExtractor', out_channels=256, featmap_strides=[4, 8, 16, 32],
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
        mask_head=dict(type='FCNMaskHead', num_convs=4, in_channels=256, conv_out_channels=256, num_classes=80,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))"""
RUNTIME = """
optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
optimizer_config = dict(grad_clip=None)
checkpoint_config = dict(interval=1)
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook'), dict(type='TensorboardLoggerHook')])
dist_params = dict(backend='nccl', port='29500')
log_level = 'INFO'
load_from = None
workflow = [('train', 1)]
"""
MASKTRACK = """
_base_ = ['../../_base_/models/mask_rcnn.py', '../../_base_/runtime.py']
model = dict(
    type='MaskTrackRCNN',
    detector=dict(
        roi_head=dict(bbox_head=dict(num_classes=40), mask_head=dict(num_classes=40)),
        train_cfg=dict(rpn=dict(sampler=dict(num=64)), rpn_proposal=dict(nms_pre=200, max_per_img=200),
                       rcnn=dict(sampler=dict(num=128), mask_size=28)),
        test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=200), rcnn=dict(score_thr=0.01, mask_thr_binary=0.5)),
        init_cfg=dict(type='Pretrained', checkpoint='https://example.org/mask_rcnn_r50_fpn_1x_coco.pth')),
    track_head=dict(
        type='RoITrackHead',
        roi_extractor=dict(type='SingleRoIExtractor', out_channels=256, featmap_strides=[4, 8, 16, 32],
                           roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        embed_head=dict(type='RoIEmbedHead', num_fcs=2, roi_feat_size=7, in_channels=256, fc_out_channels=1024),
        train_cfg=dict(
            assigner={{_base_.rcnn_assigner}},
            sampler=dict(type='RandomSampler', num=128, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1, debug=False)),
    tracker=dict(type='MaskTrackRCNNTracker', match_weights=dict(det_score=1.0, iou=2.0, det_label=10.0),
                 num_frames_retain=20))
norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    dict(type='LoadMultiImagesFromFile', to_float32=True),
    dict(type='SeqLoadAnnotations', with_bbox=True, with_mask=True, with_track=True),
    dict(type='SeqResize', share_params=True, img_scale=(640, 360), keep_ratio=True),
    dict(type='SeqPhotoMetricDistortion', share_params=True),
    dict(type='SeqRandomFlip', share_params=True, flip_ratio=0.5),
    dict(type='SeqNormalize', **norm),
    dict(type='SeqPad', size_divisor=32),
    dict(type='VideoCollect', keys=['img', 'gt_bboxes', 'gt_labels', 'gt_masks', 'gt_instance_ids']),
    dict(type='SeqDefaultFormatBundle', ref_prefix='ref')]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(640, 360), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'), dict(type='Normalize', **norm),
        dict(type='Pad', size_divisor=32), dict(type='ImageToTensor', keys=['img']),
        dict(type='VideoCollect', keys=['img'])])]
root = 'data/youtube_vis_2019/'
data = dict(
    samples_per_gpu=1, workers_per_gpu=2,
    train=dict(type='YouTubeVISDataset', dataset_version=root[-5:-1], ann_file=root + 'annotations/train.json',
        img_prefix=root + 'train/JPEGImages', pipeline=train_pipeline,
        ref_img_sampler=dict(num_ref_imgs=1, frame_range=100, filter_key_img=True, method='uniform')),
    val=dict(type='YouTubeVISDataset', dataset_version=root[-5:-1], ann_file=root + 'annotations/valid.json',
        img_prefix=root + 'valid/JPEGImages', pipeline=test_pipeline, ref_img_sampler=None),
    test=dict(type='YouTubeVISDataset', dataset_version=root[-5:-1], ann_file=root + 'annotations/valid.json',
        img_prefix=root + 'valid/JPEGImages', pipeline=test_pipeline, ref_img_sampler=None))
optimizer = dict(type='SGD', lr=0.00125, momentum=0.9, weight_decay=0.0001)
optimizer_config = dict(_delete_=True, grad_clip=dict(max_norm=35, norm_type=2))
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, warmup_ratio=1.0 / 3, step=[8, 11])
total_epochs = 12
evaluation = dict(metric=['track_segm'], interval=13)
"""
QDTRACK = """
_base_ = ['../../_base_/models/faster_rcnn.py', '../../_base_/runtime.py']
model = dict(
    type='QDTrack',
    detector=dict(roi_head=dict(bbox_head=dict(num_classes=1))),
    track_head=dict(type='QuasiDenseTrackHead',
        embed_head=dict(type='QuasiDenseEmbedHead', num_convs=4, num_fcs=1, embed_channels=256)),
    tracker=dict(type='QuasiDenseEmbedTracker', init_score_thr=0.9, match_metric='bisoftmax'))
data = dict(samples_per_gpu=2, workers_per_gpu=2, train=dict(type='MOTChallengeDataset', ann_file='a.json', pipeline=[
    dict(type='SeqNormalize', mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], to_rgb=False)]))
lr_config = dict(policy='step', step=[3])
total_epochs = 4
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Bases where configs look for them, and the folder of the configs."""
    models, folder = tmp_path / "_base_/models", tmp_path / "vis/masktrack"
    models.mkdir(parents=True)
    folder.mkdir(parents=True)
    (models / "mask_rcnn.py").write_text(DETECTOR.format(kind="MaskRCNN", mask=MASK))
    (models / "faster_rcnn.py").write_text(DETECTOR.format(kind="FasterRCNN", mask=""))
    (tmp_path / "_base_/runtime.py").write_text(RUNTIME)
    (folder / "masktrack.py").write_text(MASKTRACK)
    (folder / "qdtrack.py").write_text(QDTRACK)
    return folder


def converted(place: Path, name: str = "masktrack", *changes: tuple[str, str]) -> ConvertedConfig:
    path = place / f"{name}.py"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return convert_config(read_plain_config(path))


def names_and_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        parts = {part: MODELS.build(config.model[part]) for part in ("detector", "track_head")}
    return {f"{p}.{name}": tuple(t.shape) for p, part in parts.items() for name, t in part.state_dict().items()}


def test_masktrack_is_our_own_config_but_for_what_mmtrack_does_otherwise(place: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(converted(place).text(place / "masktrack.py"))
    theirs, ours = read_config(tmp_path / "ours.py"), read_config(OURS)
    require_trainable(theirs, "ours.py")
    assert names_and_shapes(theirs) == names_and_shapes(ours)
    assert theirs.classes == ours.classes
    assert theirs.model.data_preprocessor == ours.model.data_preprocessor
    assert theirs.train_dataloader.dataset.pipeline == ours.train_dataloader.dataset.pipeline
    assert theirs.train_dataloader.dataset.frame_range == 100 and theirs.train_dataloader.batch_size == 1
    assert theirs.param_scheduler == ours.param_scheduler and theirs.train_cfg == ours.train_cfg
    assert theirs.optim_wrapper.clip_grad == ours.optim_wrapper.clip_grad
    assert theirs.optim_wrapper.optimizer == {**ours.optim_wrapper.optimizer, "lr": 0.00125}
    assert theirs.default_hooks.logger.interval == 50
    assert theirs.model.test_scale == (640, 360)
    assert theirs.model.association == ours.model.association
    assert theirs.model.memory == {**ours.model.memory, "retain_frames": 20, "label_memory": "last"}
    assert theirs.model.track_head.embed_head.relu_last is True
    assert theirs.model.detector.test_cfg.rcnn.score_thr == 0.01
    assert theirs.model.detector.init_cfg.checkpoint == "https://example.org/mask_rcnn_r50_fpn_1x_coco.pth"
    assert theirs.test_dataset.image_root == "data/youtube_vis_2019/valid/JPEGImages"
    assert "val_dataset" not in theirs, "it is the same"


def test_what_has_no_place_is_listed_and_nothing_else(place: Path) -> None:
    listed = converted(place).unsupported
    assert [entry.split(" = ")[0] for entry in listed] == [
        "data.train.pipeline[3]", "log_config.hooks", "dist_params", "workflow", "evaluation", "log_level",
    ]  # fmt: skip
    assert listed[0].endswith("{'type': 'SeqPhotoMetricDistortion', 'share_params': True}: no such transform here")


CHANGES = {
    "tracker=dict(": ("tracker=dict(momentums=dict(x=1), ", "model.tracker.momentums"),
    "type='RoIEmbedHead'": ("type='RoIEmbedHead', dropout=0.5", "model.track_head.embed_head.dropout"),
    "roi_head=dict(": ("roi_head=dict(shared_head=dict(type='R'), ", "model.detector.roi_head.shared_head"),
    "share_params=True, img_scale=(640, 360)": ("share_params=False, img_scale=(640, 360)", "share_params"),
    "img_scale=(640, 360), keep_ratio=True": ("img_scale=[(640, 360), (9, 9)], keep_ratio=True", "img_scale"),
    "num_ref_imgs=1": ("num_ref_imgs=2", "data.train.ref_img_sampler.num_ref_imgs"),
    "flip=False": ("flip=True", "data.val.pipeline[1].flip"),
    "samples_per_gpu=1": ("samples_per_gpu=1, persistent_workers=True", "data.persistent_workers"),
    "policy='step'": ("policy='cyclic'", "lr_config.step"),
    "warmup='linear'": ("warmup='exp'", "lr_config.warmup"),
    "total_epochs = 12": ("total_epochs = 12\nfind_unused_parameters = True", "find_unused_parameters"),
    "total_epochs = 12\n": (
        "total_epochs = 12\ncustom_hooks = [dict(type='EMAHook')]\nval_hooks = custom_hooks\n",
        "custom_hooks",
    ),
    "max_norm=35": ("max_norm=35), cumulative_iters=dict(x=1", "optimizer_config.cumulative_iters"),
    "iou=2.0": ("iou=2.0, depth=1.0", "model.tracker.match_weights.depth"),
    "to_rgb=True": ("to_rgb=False", "img_norm_cfg.to_rgb"),
    "transforms=[\n        dict(type='Resize'": (
        "transforms=[\n        dict(type='Normalize', mean=[0.0, 0.0, 0.0]), dict(type='Resize'",
        "data.test.pipeline[1].transforms[0].mean",
    ),
    "train=dict(type='YouTubeVISDataset'": ("train=dict(type='TaoDataset'", "data.train.type"),
    "train=dict(type='YouTubeVISDataset', ": (
        "train=dict(type='YouTubeVISDataset', classes='names.txt', ",
        "data.train.classes",
    ),
}


@pytest.mark.parametrize("old", CHANGES)
def test_an_entry_that_is_not_mapped_is_listed(old: str, place: Path) -> None:
    new, key = CHANGES[old]
    before = set(converted(place).unsupported)
    added = [entry for entry in converted(place, "masktrack", (old, new)).unsupported if entry not in before]
    assert added and any(key in entry.split(" = ")[0] for entry in added)


def test_half_precision_constant_warm_up_and_own_classes_are_mapped(place: Path) -> None:
    found = converted(
        place, "masktrack",
        ("total_epochs = 12", "runner = dict(type='EpochBasedRunner', max_epochs=6)\nfp16 = dict(loss_scale=512.)"),
        ("warmup='linear'", "warmup='constant'"), ("step=[8, 11]", "step=2, gamma=0.5"),
        ("train=dict(type='YouTubeVISDataset'", "train=dict(type='YouTubeVISDataset', classes=['a', 'b']"),
        ("frame_range=100", "frame_range=[-3, 5]"),
    ).values  # fmt: skip
    assert found["optim_wrapper"]["type"] == "AmpOptimWrapper" and found["optim_wrapper"]["loss_scale"] == 512
    warm_up, steps = found["param_scheduler"]
    assert (warm_up["type"], warm_up["factor"], warm_up["end"]) == ("ConstantLR", 1 / 3, 500)
    assert (steps["milestones"], steps["gamma"], steps["end"]) == ([2, 4], 0.5, 6)
    assert found["train_cfg"]["max_epochs"] == 6 and found["classes"] == ("a", "b")
    assert found["train_dataloader"]["dataset"]["frame_range"] == 5


def test_qdtrack_is_the_first_stage_of_pcan(place: Path, tmp_path: Path) -> None:
    found = converted(place, "qdtrack")
    (tmp_path / "ours.py").write_text(found.text(place / "qdtrack.py"))
    config = read_config(tmp_path / "ours.py")
    names = names_and_shapes(config)
    assert config.model.type == "OccPCAN" and config.model.stage == "box"
    assert names["track_head.embed_head.fc_embed.weight"] == (256, 1024) and not any("mask_head" in n for n in names)
    assert config.model.detector.roi_head.bbox_head.num_classes == 1
    rules = QuasiDenseRules(**config.model.tracker)
    assert rules == QuasiDenseRules(init_score=0.9, obj_score=0.5), "mmtrack's default and not PCAN's"
    assert config.param_scheduler[-1].milestones == [3] and config.train_cfg.max_epochs == 4
    assert config.model.data_preprocessor.mean == [3.0, 2.0, 1.0], "RGB"
    keys = {entry.split(" = ")[0] for entry in found.unsupported}
    assert {"data.train.ann_file", "img_norm_cfg.to_rgb"} <= keys and not any(key.startswith("model.") for key in keys)
    assert any("add `classes`" in note for note in found.notes)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("type='MaskTrackRCNN'", "type='SORT'", "expected MaskTrackRCNN or QDTrack. Others are not converted"),
        ("detector=dict(", "detector=dict(type='CascadeRCNN', ", "`model.detector.type` is 'CascadeRCNN'"),
        (
            "img_scale=(640, 360), keep_ratio",
            "img_scale=640, keep_ratio",
            "not of the form that such configs have",
        ),
        ("optimizer = dict(type", "optimizer = ['SGD']\nother = dict(type", "`optimizer` should be a dict, found"),
    ],
)
def test_other_configs_are_refused(old: str, new: str, message: str, place: Path) -> None:
    with pytest.raises(InputError, match=message):
        converted(place, "masktrack", (old, new))


def test_no_text_of_the_config_becomes_program_text(place: Path, tmp_path: Path) -> None:
    """The comments quote the config, and the new file is run by whoever uses it."""
    evil = "x'\nraise SystemExit(1)\n\"\u2028"
    found = converted(
        place, "masktrack", ("root + 'annotations/train.json'", repr(evil)), ("['track_segm']", repr(evil))
    )
    (tmp_path / "ours.py").write_text(found.text(place / "masktrack.py"))
    config = read_config(tmp_path / "ours.py")
    assert config.train_dataloader.dataset.sources[0].ann_file == evil


# the tool


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_config", ROOT / "tools/convert_config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_lists_what_is_left_out_and_replaces_nothing(tool, place: Path, tmp_path: Path, capsys) -> None:
    arguments = [str(place / "masktrack.py"), str(tmp_path / "ours.py")]
    assert tool.main(arguments) == 0
    said = capsys.readouterr()
    assert said.out == f"Wrote {arguments[1]}.\n"
    assert said.err.count("left out: ") == 6 and "left out: dist_params = {'backend': 'nccl'" in said.err
    text = (tmp_path / "ours.py").read_text()
    assert text.startswith("# Converted from masktrack.py by") and "#   evaluation = {" in text
    assert tool.main(arguments) == 2 and "already exists" in capsys.readouterr().err
    assert tool.main([str(tmp_path / "absent.py"), str(tmp_path / "other.py")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "other.py").exists()
