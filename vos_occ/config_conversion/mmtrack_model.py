"""`model` of an mmtrack 0.x config under our names: MaskTrack R-CNN, and of QDTrack its detector.

Source: specs/trackers.md 1.1 to 1.3.
"""

from __future__ import annotations

from typing import Any

from vos_occ.config_conversion.section import Conversion, Section

FPN_STRIDES = [4, 8, 16, 32]
QDTRACK = (
    "the quasi-dense embedding and its tracker are not here; embedding and association of MaskTrack R-CNN stand in "
    "their place, which is another model"
)
RELU_LAST = (
    "The embedding ends with a ReLU, as mmtrack's (relu_last=True); the original MaskTrack R-CNN has none there."
)


def convert_model(model: Section) -> dict[str, Any]:
    """The entry `model`, but for what the data pipelines say of images.

    Raises:
        InputError: the model is another one, or built of other parts.
    """
    kind = model.kind("MaskTrackRCNN", "QDTrack")
    pretrained = model.section("pretrains")  # mmtrack before 0.6
    detector = _detector(model.section("detector"), pretrained.take("detector"), has_masks=kind == "MaskTrackRCNN")
    pretrained.close()
    converted: dict[str, Any] = {"type": "OccMaskTrackRCNN", "detector": detector}
    if kind == "MaskTrackRCNN":
        converted["track_head"] = _track_head(model.section("track_head"))
        converted |= _tracker(model.section("tracker"))
    else:
        model.section("track_head").refuse(QDTRACK)
        model.section("tracker").refuse(QDTRACK)
        converted["track_head"] = _own_track_head()
    for name in ("motion", "reid"):
        model.section(name).refuse("MaskTrack R-CNN has no such part")
    model.close()
    return converted


def _detector(detector: Section, pretrained: str | None, *, has_masks: bool) -> dict[str, Any]:
    kinds = ("MaskRCNN",) if has_masks else ("FasterRCNN", "MaskRCNN")
    has_masks = detector.kind(*kinds) == "MaskRCNN"
    init_cfg = detector.take("init_cfg")
    if pretrained is not None and init_cfg is None:
        init_cfg = {"type": "Pretrained", "checkpoint": pretrained}
    converted = {
        "type": "MaskRCNN",
        **({"init_cfg": init_cfg} if init_cfg else {}),
        **{part: detector.take(part) for part in ("backbone", "neck", "rpn_head")},
        "roi_head": _roi_head(detector.section("roi_head"), has_masks=has_masks),
        "train_cfg": detector.take("train_cfg"),
        "test_cfg": detector.take("test_cfg"),
    }
    if not has_masks:
        converted["train_cfg"]["rcnn"]["mask_size"] = 28
        converted["test_cfg"]["rcnn"]["mask_thr_binary"] = 0.5
        detector.conversion.note("The detector had no masks; the plain mask head of Mask R-CNN was added to it.")
    detector.close()
    return converted


def _roi_head(roi_head: Section, *, has_masks: bool) -> dict[str, Any]:
    roi_head.kind("StandardRoIHead")
    box_head = roi_head.take("bbox_head")
    if has_masks:
        mask_head = roi_head.section("mask_head")
        mask_head.kind("FCNMaskHead")
        names = ("num_convs", "roi_feat_size", "in_channels", "conv_kernel_size", "conv_out_channels", "num_classes",
                 "class_agnostic", "upsample_cfg", "conv_cfg", "norm_cfg", "predictor_cfg")  # fmt: skip
        kept = {name: mask_head.take(name) for name in names if name in mask_head}
        loss = {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0}
        mask_head.expect("loss_mask", loss, why="masks are trained by binary cross-entropy of weight 1")
        mask_head.close()
        extractor = roi_head.take("mask_roi_extractor")
    else:
        kept = {"num_convs": 4, "in_channels": 256, "conv_out_channels": 256, "num_classes": box_head["num_classes"]}
        extractor = _extractor(14)
    converted = {
        "type": "BilayerRoIHead",
        "bbox_roi_extractor": roi_head.take("bbox_roi_extractor"),
        "bbox_head": box_head,
        "mask_roi_extractor": extractor,
        "mask_head": {"type": "PlainMaskHead", **kept},
    }
    roi_head.close()
    return converted


def _track_head(track_head: Section) -> dict[str, Any]:
    track_head.kind("RoITrackHead")
    embed_head = track_head.section("embed_head")
    embed_head.kind("RoIEmbedHead")
    names = ("num_convs", "num_fcs", "roi_feat_size", "in_channels", "conv_out_channels", "fc_out_channels",
             "with_avg_pool", "conv_cfg", "norm_cfg", "loss_match")  # fmt: skip
    kept = {name: embed_head.take(name) for name in names if name in embed_head}
    embed_head.close()
    track_head.conversion.note(RELU_LAST)
    converted = {
        "type": "OccRoITrackHead",
        "roi_extractor": track_head.take("roi_extractor"),
        "embed_head": {"type": "OccRoIEmbedHead", **kept, "relu_last": True},
        "train_cfg": track_head.take("train_cfg"),
    }
    track_head.close()
    return converted


def _tracker(tracker: Section) -> dict[str, Any]:
    """`memory` and `association`; weights are those of specs/trackers.md 1.3."""
    weights: dict[str, float] = {}
    retained = 20
    if "type" in tracker:
        tracker.kind("MaskTrackRCNNTracker")
        of = tracker.section("match_weights")
        names = {"det_score": "det_score_weight", "iou": "iou_weight", "det_label": "label_weight"}
        weights = {ours: of.take(theirs) for theirs, ours in names.items() if theirs in of}
        of.close()
        retained = tracker.take("num_frames_retain", 10)  # the default of mmtrack's trackers
    tracker.close()
    tracker.conversion.note("Of two detections that claim one track, the better keeps it; in mmtrack both did.")
    return {
        "memory": {"max_tracks": 512, "retain_frames": retained, "label_memory": "last", "confirm_after": 1},
        "association": {"method": "greedy", **weights},
    }


def _own_track_head() -> dict[str, Any]:
    """That of MaskTrack R-CNN."""
    assigner = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "min_pos_iou": 0.5}
    sampler = {"type": "RandomSampler", "num": 128, "pos_fraction": 0.25, "neg_pos_ub": -1, "add_gt_as_proposals": True}
    return {
        "type": "OccRoITrackHead",
        "roi_extractor": _extractor(7),
        "embed_head": {
            "type": "OccRoIEmbedHead",
            "num_fcs": 2,
            "in_channels": 256,
            "fc_out_channels": 1024,
            "roi_feat_size": 7,
        },
        "train_cfg": {"assigner": {**assigner, "match_low_quality": True}, "sampler": sampler},
    }


def _extractor(size: int) -> dict[str, Any]:
    return {
        "type": "SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": size, "sampling_ratio": 0},
        "out_channels": 256,
        "featmap_strides": FPN_STRIDES,
    }


def describe_images(model: dict[str, Any], images: dict[str, Any], conversion: Conversion) -> None:
    """Adds to a converted model what mmtrack's pipelines say of images: normalisation, padding, size at test time."""
    mean, std = images["mean"], images["std"]
    if not images["to_rgb"]:
        conversion.leave_out(
            "img_norm_cfg.to_rgb", False,
            "models here are shown RGB. Mean and std were turned round; turn the channels of backbone.conv1.weight too",
        )  # fmt: skip
        mean, std = mean[::-1], std[::-1]
    model["data_preprocessor"] = {
        "type": "TrackDataPreprocessor",
        "mean": list(mean),
        "std": list(std),
        "bgr_to_rgb": False,
        "pad_mask": True,
        "pad_size_divisor": images["pad_size_divisor"],
    }
    model["test_scale"] = tuple(images["test_scale"])
