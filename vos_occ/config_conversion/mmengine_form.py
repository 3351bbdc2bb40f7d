"""Data and schedule of a config of mmdet 3.x (or mmtrack 1.x), which are mmengine's: the schedule stays as it is.

Source: docs/sources.md, trackers 1.2, 1.4, 4 (which parts of mmdet 3.x are meant).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from vos_occ.config_conversion.mmtrack_data import COCO_VID, IMAGES, youtube_vis_classes
from vos_occ.config_conversion.section import Section

KEPT = ("optim_wrapper", "param_scheduler", "randomness", "auto_scale_lr", "load_from")
HOOKS = {
    "timer": {"type": "IterTimerHook"},
    "param_scheduler": {"type": "ParamSchedulerHook"},
    "sampler_seed": {"type": "DistSamplerSeedHook"},
}
"""What every run has."""
UNUSED = {
    "val_cfg": "validation is tools/train.py --validate N",
    "test_cfg": "videos are run by tools/test_video.py",
    "val_evaluator": "validation is tools/train.py --validate N, scores come from tools/test_video.py",
    "test_evaluator": "scores come from tools/test_video.py",
    "vis_backends": "pictures are drawn by tools/demo_video.py",
    "visualizer": "pictures are drawn by tools/demo_video.py",
    "log_processor": "the log is text and JSON lines",
    "log_level": "it is INFO",
    "env_cfg": "torchrun and mmengine choose backend and port",
}
DONE_HERE = ("LoadImageFromFile", "LoadTrackAnnotations", "PackTrackInputs")
"""Steps that load and collect, which data sets here do themselves."""


def is_mmengine(values: Mapping[str, Any]) -> bool:
    """Whether a config is of mmengine's form."""
    return "optim_wrapper" in values or "train_dataloader" in values


def convert_images(preprocessor: Section) -> dict[str, Any]:
    """What `model.data_preprocessor` says of images: names of `IMAGES`. Pipelines show BGR, hence its `bgr_to_rgb`."""
    preprocessor.expect("type", "TrackDataPreprocessor", why="there are pairs of frames")
    preprocessor.expect("pad_mask", True, why="masks are padded as images are")
    images = {name: preprocessor.take(name, IMAGES[name]) for name in ("mean", "std")}
    images["pad_size_divisor"] = preprocessor.take("pad_size_divisor", 1)
    images["to_rgb"] = preprocessor.take("bgr_to_rgb", False)
    preprocessor.close()
    return images


def convert_loaders(config: Section) -> tuple[dict[str, Any], dict[str, Any]]:
    """Entries of our config, and the size of frames in testing, under its name in `IMAGES`."""
    loader = config.section("train_dataloader")
    entries: dict[str, Any] = {}
    if "dataset" in loader:
        ours = {name: loader.take(name, default) for name, default in (("batch_size", 1), ("num_workers", 2))}
        ours |= {"sampler": {"type": "DefaultSampler", "shuffle": True}, "collate_fn": {"type": "pseudo_collate"}}
        ours["persistent_workers"] = ours["num_workers"] > 0
        for name in ("persistent_workers", "sampler", "batch_sampler"):  # every frame once, in another order each time
            loader.take(name)
        pairs, classes = _pairs(loader.section("dataset"))
        entries = {"classes": classes, "train_dataloader": {**ours, "dataset": pairs}} if pairs else {}
    loader.close()
    scales: list[tuple[int, int]] = []
    val, test = (_test_dataset(config.section(f"{name}_dataloader"), scales) for name in ("val", "test"))
    entries |= {"test_dataset": test} if test else {}
    entries |= {"val_dataset": val} if val and val != test else {}
    return entries, {"test_scale": scales[-1]} if scales else {}


def convert_run(config: Section) -> dict[str, Any]:
    """Takes all that is about training out of a config's top level."""
    entries = {name: config.take(name) for name in KEPT if name in config}
    epochs = config.section("train_cfg")
    epochs.expect("type", "EpochBasedTrainLoop", why="lengths are counted in epochs")
    entries["train_cfg"] = {"type": "EpochBasedTrainLoop", "max_epochs": epochs.take("max_epochs", 12)}
    for name in ("val_begin", "val_interval"):
        if name in epochs:
            config.conversion.leave_out(epochs.place(name), epochs.take(name), UNUSED["val_cfg"])
    epochs.close()
    hooks = config.section("default_hooks")
    entries["default_hooks"] = {name: hooks.take(name) for name in ("logger", "checkpoint") if name in hooks}
    for name, everywhere in HOOKS.items():
        hooks.expect(name, everywhere, why="the hook that every run has is taken")
    hooks.expect("visualization", why=UNUSED["visualizer"])
    hooks.close()
    config.expect("default_scope", "mmdet", why="types are looked for in mmdet")
    config.expect("resume", False, why="resuming is tools/train.py --resume")
    for name, why in UNUSED.items():
        if name in config:
            config.conversion.leave_out(name, config.take(name), why)
    config.conversion.note("The learning rate is taken as it is: mmdet's are for 8 GPUs.")
    return entries


def _pairs(dataset: Section) -> tuple[dict[str, Any] | None, tuple[str, ...] | None]:
    """`FramePairs`, and its classes; None of a dataset that is not YouTube-VIS."""
    classes = youtube_vis_classes(dataset)
    if classes is None:
        dataset.refuse("only YouTube-VIS data is converted; name `classes` and `train_dataloader` as configs/demo does")
        return None, None
    steps, frame_range = dataset.take("pipeline", []), 100
    if steps and steps[0].get("type") == "UniformRefFrameSample":
        sampler = Section(steps[0], f"{dataset.place('pipeline')}[0]", dataset.conversion)
        sampler.take("type")
        sampler.expect("num_ref_imgs", 1, why="a pair has one reference frame")
        sampler.expect("filter_key_img", True, why="the reference is another frame than the key")
        frame_range = sampler.take("frame_range", 100)
        sampler.close()
        steps = steps[1:]
    transforms: list[dict[str, Any]] = []
    _pipeline(steps, dataset, transforms, [])
    source = {"type": "YtvisFrames", **_files(dataset)}
    dataset.close()
    pairs = {"type": "FramePairs", "classes": classes, "frame_range": frame_range, "sources": [source]}
    return pairs | {"pipeline": transforms}, classes


def _test_dataset(loader: Section, scales: list[tuple[int, int]]) -> dict[str, Any] | None:
    if "dataset" not in loader:
        return None
    for name in ("batch_size", "num_workers", "persistent_workers", "drop_last", "sampler"):
        loader.take(name)  # frames come one by one, in order
    dataset = loader.section("dataset")
    loader.close()
    dataset.take("test_mode")
    _pipeline(dataset.take("pipeline", []), dataset, [], scales)
    if youtube_vis_classes(dataset) is None:
        dataset.refuse("only YouTube-VIS data is converted")
        return None
    found = _files(dataset)
    dataset.close()
    return found


def _files(dataset: Section) -> dict[str, str]:
    root = PurePosixPath(dataset.take("data_root", ""))
    prefix = dataset.section("data_prefix")
    found = {"ann_file": str(root / dataset.take("ann_file")), "image_root": str(root / prefix.take("img_path", ""))}
    prefix.close()
    dataset.conversion.note(COCO_VID.format(found["ann_file"]))
    return found


def _pipeline(
    steps: list[dict[str, Any]], dataset: Section, transforms: list[dict[str, Any]], scales: list[tuple[int, int]]
) -> None:
    """Adds the transforms of ours among the steps to `transforms`, and sizes of frames to `scales`."""
    for step in steps:
        section = Section(step, dataset.place("pipeline"), dataset.conversion)
        kind = str(section.take("type")).split(".")[-1]
        if kind == "TransformBroadcaster":
            section.expect("share_random_params", True, False, why="both frames of a pair are changed alike")
            _pipeline(section.take("transforms", []), dataset, transforms, scales)
        elif kind in DONE_HERE:
            for name in ("with_mask", "with_bbox", "with_label", "with_instance_id"):
                section.take(name)
        elif kind == "Resize":
            section.expect("keep_ratio", True, why="the ratio of a frame is kept")
            scale = section.take("scale", (640, 360))
            scales.append((max(scale), min(scale)))
            transforms.append({"type": "OccRandomScaleCrop", "size": (min(scale), max(scale)), "scale": (1.0, 1.0)})
        elif kind == "RandomFlip":
            section.expect("direction", "horizontal", why="left and right are changed, never top and bottom")
            transforms.append({"type": "OccRandomFlip", "prob": section.take("prob", 0.0)})
        else:
            dataset.conversion.leave_out(section.path, {"type": kind, **section.take_all()}, "no such transform here")
        section.close()
