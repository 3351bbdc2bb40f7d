"""`data` of an mmtrack 0.x config: which frames, how pairs are drawn, what is done to images.

Source: docs/sources.md, trackers 1.2, 1.4, 6.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from mmdet.datasets import YouTubeVISDataset

from vos_occ.config_conversion.section import Conversion, Section

DONE_HERE = ("LoadMultiImagesFromFile", "SeqLoadAnnotations", "VideoCollect", "ConcatVideoReferences", "MatchInstances",
             "SeqDefaultFormatBundle", "LoadImageFromFile", "ImageToTensor", "DefaultFormatBundle")  # fmt: skip
"""Steps that load and collect, which data sets here do themselves."""
LOADING_OPTIONS = (
    "to_float32",
    "with_bbox",
    "with_mask",
    "with_track",
    "keys",
    "meta_keys",
    "ref_prefix",
    "skip_nomatch",
)
IMAGES: dict[str, Any] = {
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
    "to_rgb": True,
    "pad_size_divisor": 32,
    "test_scale": (640, 360),
}
"""What holds of images where no pipeline says anything else."""
COCO_VID = (
    "{} is a CocoVID file of mmtrack's converter. Here the files are read as YouTube-VIS publishes them: name that one."
)


def convert_data(data: Section) -> tuple[dict[str, Any], dict[str, Any]]:
    """Entries of our config, and what pipelines say of images: the names of `IMAGES`."""
    images: dict[str, Any] = {}
    loader = {
        "batch_size": data.take("samples_per_gpu", 1),
        "num_workers": data.take("workers_per_gpu", 2),
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "collate_fn": {"type": "pseudo_collate"},
    }
    loader["persistent_workers"] = loader["num_workers"] > 0
    train, classes = _pairs(data.section("train"), images)
    test = _test_dataset(data.section("test"), images)
    val = _test_dataset(data.section("val"), images)
    data.close()
    entries: dict[str, Any] = {"classes": classes} if classes else {}
    if train:
        entries["train_dataloader"] = {**loader, "dataset": train}
    if test:
        entries["test_dataset"] = test
    if val and val != test:
        entries["val_dataset"] = val
    return entries, IMAGES | images


def _pairs(train: Section, images: dict[str, Any]) -> tuple[dict[str, Any] | None, tuple[str, ...] | None]:
    """`FramePairs`, and its classes; None of a dataset that is not YouTube-VIS."""
    pipeline = _pipeline(train.take("pipeline", []), train.place("pipeline"), train.conversion, images)
    classes = youtube_vis_classes(train)
    if classes is None:
        train.refuse("only YouTube-VIS data is converted; name `classes` and `train_dataloader` as configs/demo does")
        return None, None
    sampler = train.section("ref_img_sampler")
    sampler.expect("num_ref_imgs", 1, why="a pair has one reference frame")
    sampler.expect("filter_key_img", True, why="the reference is another frame than the key")
    sampler.expect("method", "uniform", why="references are drawn uniformly")
    frame_range = sampler.take("frame_range", 100)
    sampler.close()
    if not isinstance(frame_range, int):
        sampler.conversion.leave_out(sampler.place("frame_range"), frame_range, "one number for both directions")
        frame_range = max(abs(end) for end in frame_range)
    source = {"type": "YtvisFrames", "ann_file": train.take("ann_file"), "image_root": train.take("img_prefix")}
    train.conversion.note(COCO_VID.format(source["ann_file"]))
    train.close()
    pairs = {"type": "FramePairs", "classes": classes, "frame_range": frame_range, "sources": [source]}
    return pairs | {"pipeline": pipeline}, classes


def _test_dataset(dataset: Section, images: dict[str, Any]) -> dict[str, Any] | None:
    _pipeline(dataset.take("pipeline", []), dataset.place("pipeline"), dataset.conversion, images)
    dataset.expect("ref_img_sampler", None, why="a video model sees the frames one by one")
    if youtube_vis_classes(dataset) is None:
        dataset.refuse("only YouTube-VIS data is converted")
        return None
    found = {"ann_file": dataset.take("ann_file"), "image_root": dataset.take("img_prefix")}
    dataset.conversion.note(COCO_VID.format(found["ann_file"]))
    dataset.close()
    return found


def youtube_vis_classes(dataset: Section) -> tuple[str, ...] | None:
    """Those that the config names, or of YouTube-VIS by its year, as mmdet has them; None of another dataset."""
    if "type" not in dataset:
        return None
    if (kind := dataset.take("type")) != "YouTubeVISDataset":
        dataset.conversion.leave_out(dataset.place("type"), kind, "only YouTube-VIS data is converted")
        return None
    metainfo = dataset.section("metainfo")  # of mmdet 3.x
    if "classes" in dataset or "classes" in metainfo:
        if isinstance(names := dataset.take("classes", metainfo.take("classes")), str):  # a file of them
            dataset.conversion.leave_out(dataset.place("classes"), names, "name the classes themselves")
            return None
        return tuple(names)
    version = str(dataset.take("dataset_version", "2019"))

    class Classes(YouTubeVISDataset):  # which writes them into the class that it is asked through
        pass

    try:
        Classes.set_dataset_classes(version)
    except NotImplementedError:
        dataset.conversion.leave_out(dataset.place("dataset_version"), version, "2019 and 2021 are known")
        return None
    return tuple(Classes.METAINFO["classes"])


def _pipeline(
    steps: Sequence[dict[str, Any]], place: str, conversion: Conversion, images: dict[str, Any]
) -> list[dict[str, Any]]:
    """The transforms of ours among the steps; what steps say of images goes into `images`."""
    converted: list[dict[str, Any]] = []
    for i, step in enumerate(steps):
        section = Section(step, f"{place}[{i}]", conversion)
        kind = str(section.take("type")).split(".")[-1]
        if kind in DONE_HERE:
            for name in LOADING_OPTIONS:
                section.take(name)
        elif kind == "MultiScaleFlipAug":
            _test_time(section, images)
        else:
            converted += _transform(kind, section, images)
        section.close()
    return converted


def _test_time(section: Section, images: dict[str, Any]) -> None:
    """The steps of a test pipeline, which are those of training without chance."""
    _say(images, "test_scale", _one_scale(section), section)
    section.expect("flip", False, why="nothing is averaged over flips")
    _pipeline(section.take("transforms", []), section.place("transforms"), section.conversion, images)


def _transform(kind: str, section: Section, images: dict[str, Any]) -> list[dict[str, Any]]:
    if kind in ("SeqNormalize", "Normalize"):
        for name in ("mean", "std", "to_rgb"):
            _say(images, name, section.take(name, IMAGES[name]), section)
    elif kind in ("SeqPad", "Pad"):
        _say(images, "pad_size_divisor", section.take("size_divisor", 1), section)
    elif kind == "Resize":
        section.expect("keep_ratio", True, why="the ratio of a frame is kept")
    elif kind == "SeqResize":
        return [_resize(section)]
    elif kind == "SeqRandomFlip":
        section.expect("share_params", True, why="both frames of a pair are flipped or none")
        section.expect("direction", "horizontal", why="left and right are changed, never top and bottom")
        return [{"type": "OccRandomFlip", "prob": section.take("flip_ratio", 0.0)}]
    elif kind != "RandomFlip":  # which in a test pipeline does what MultiScaleFlipAug says
        section.conversion.leave_out(section.path, {"type": kind, **section.take_all()}, "no such transform here")
    return []


def _say(images: dict[str, Any], name: str, value: Any, section: Section) -> None:
    """Keeps what a pipeline says of images; what a later one says otherwise is listed."""
    if images.setdefault(name, value) != value:
        section.conversion.leave_out(section.place(name), value, f"{images[name]!r} of another pipeline was taken")


def _resize(section: Section) -> dict[str, Any]:
    width, height = _one_scale(section)
    section.expect("keep_ratio", True, why="the ratio of a frame is kept")
    section.expect("share_params", True, why="both frames of a pair have one size")
    section.expect("bbox_clip_border", True, why="boxes are those of the masks")
    ratios = tuple(section.take("ratio_range", (1.0, 1.0)))
    section.conversion.note(
        f"Training frames fit into {width} x {height} and are filled up with grey to that size; mmtrack pads a batch "
        "with zeros, and gives a portrait video its larger size."
    )
    return {"type": "OccRandomScaleCrop", "size": (height, width), "scale": ratios}


def _one_scale(section: Section) -> tuple[int, int]:
    """(long side, short side); of several scales the first."""
    scale = section.take("img_scale", (640, 360))
    if isinstance(scale[0], Sequence):
        section.conversion.leave_out(section.place("img_scale"), scale, "one size; the first was taken")
        scale = scale[0]
    return max(scale), min(scale)
