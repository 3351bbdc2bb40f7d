"""`model` of a config of mmtrack 0.x or mmdet 3.x under our names: MaskTrack R-CNN and QDTrack.

Source: docs/sources.md, trackers 1.1 to 1.3, 3.1.
"""

from __future__ import annotations

from typing import Any

from vos_occ.config_conversion.quasi_dense import quasi_dense_head, quasi_dense_rules
from vos_occ.config_conversion.section import Conversion, Section

NO_MASKS = (
    "QDTrack has boxes and no masks: this is PCAN's first stage, which trains and cannot be run on videos. See "
    "configs/pcan for the stages that add masks."
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
    track_head, tracker = model.section("track_head"), model.section("tracker")
    if kind == "MaskTrackRCNN":
        converted = {"type": "OccMaskTrackRCNN", "detector": detector, "track_head": _track_head(track_head)}
        converted |= _tracker(tracker)
    else:
        converted = {"type": "OccPCAN", "stage": "box", "detector": detector}
        converted |= {"track_head": quasi_dense_head(track_head), "tracker": quasi_dense_rules(tracker)}
        model.conversion.note(NO_MASKS)
    for name in ("motion", "reid"):
        model.section(name).refuse("this model has no such part")
    model.close()
    return converted


def _detector(detector: Section, pretrained: str | None, *, has_masks: bool) -> dict[str, Any]:
    detector.kind("MaskRCNN" if has_masks else "FasterRCNN")
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
    detector.close()
    return converted


def _roi_head(roi_head: Section, *, has_masks: bool) -> dict[str, Any]:
    roi_head.kind("StandardRoIHead")
    converted = {
        "type": "BilayerRoIHead",
        "bbox_roi_extractor": roi_head.take("bbox_roi_extractor"),
        "bbox_head": roi_head.take("bbox_head"),
    }
    if has_masks:
        mask_head = roi_head.section("mask_head")
        mask_head.kind("FCNMaskHead")
        names = ("num_convs", "roi_feat_size", "in_channels", "conv_kernel_size", "conv_out_channels", "num_classes",
                 "class_agnostic", "upsample_cfg", "conv_cfg", "norm_cfg", "predictor_cfg")  # fmt: skip
        kept = {name: mask_head.take(name) for name in names if name in mask_head}
        loss = {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0}
        mask_head.expect("loss_mask", loss, why="masks are trained by binary cross-entropy of weight 1")
        mask_head.close()
        converted["mask_roi_extractor"] = roi_head.take("mask_roi_extractor")
        converted["mask_head"] = {"type": "PlainMaskHead", **kept}
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
    """`memory` and `association`; weights are those of docs/sources.md, trackers 1.3."""
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
