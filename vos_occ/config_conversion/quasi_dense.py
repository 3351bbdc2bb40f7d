"""QDTrack's track head and tracker, of mmtrack 0.x or mmdet 3.x, under our names.

Source: docs/sources.md, trackers 3.1; defaults of the tracker as in mmdet 3.3.
"""

from __future__ import annotations

from typing import Any

from vos_occ.config_conversion.section import Section

RULES = {
    "init_score_thr": ("init_score", 0.8),
    "obj_score_thr": ("obj_score", 0.5),
    "match_score_thr": ("match_score", 0.5),
    "memo_tracklet_frames": ("retain_frames", 10),
    "memo_backdrop_frames": ("retain_backdrops", 1),
    "memo_momentum": ("momentum", 0.8),
    "nms_backdrop_iou_thr": ("nms_backdrop_iou", 0.3),
    "nms_class_iou_thr": ("nms_class_iou", 0.7),
    "with_cats": ("with_cats", True),
}
"""Theirs: ours, and what theirs is where a config does not say it."""
EMBEDDING = ("num_convs", "num_fcs", "roi_feat_size", "in_channels", "conv_out_channels", "with_avg_pool",
             "fc_out_channels", "conv_cfg", "norm_cfg", "embed_channels", "softmax_temp")  # fmt: skip


def quasi_dense_head(track_head: Section) -> dict[str, Any]:
    """The embedding, its losses, and what it is trained on."""
    track_head.kind("QuasiDenseTrackHead")
    embed_head = track_head.section("embed_head")
    embed_head.kind("QuasiDenseEmbedHead")
    kept = {name: embed_head.take(name) for name in EMBEDDING if name in embed_head}
    loss = embed_head.section("loss_track")
    loss.expect("type", "MultiPosCrossEntropyLoss", why="keys have many positives")
    weight = loss.take("loss_weight", 0.25)
    loss.close()
    auxiliary = embed_head.section("loss_track_aux")
    auxiliary.expect("type", "L2Loss", "MarginL2Loss", why="it is the squared distance of cosines, with a margin")
    options = auxiliary.take_all()
    embed_head.close()
    track_head.expect("loss_bbox", {"type": "L1Loss", "loss_weight": 1.0}, why="boxes are the detector's")
    converted = {
        "type": "OccQuasiDenseTrackHead",
        "roi_extractor": track_head.take("roi_extractor"),
        "embed_head": {
            "type": "OccQuasiDenseEmbedHead",
            **kept,
            "loss_track": {"type": "MultiPositiveLoss", "loss_weight": weight},
            **({"loss_track_aux": {"type": "MarginL2Loss", **options}} if options else {}),
        },
        "train_cfg": track_head.take("train_cfg"),
    }
    track_head.close()
    return {name: value for name, value in converted.items() if value is not None}


def quasi_dense_rules(tracker: Section) -> dict[str, Any]:
    """The tracker's thresholds."""
    if "type" in tracker:
        tracker.kind("QuasiDenseTracker", "QuasiDenseEmbedTracker")
    rules = {ours: tracker.take(theirs, default) for theirs, (ours, default) in RULES.items()}
    tracker.expect("nms_conf_thr", rules["match_score"], why="it is match_score_thr, as in the released configs")
    tracker.expect("match_metric", "bisoftmax", why="appearances are compared in both directions")
    tracker.close()
    return rules
