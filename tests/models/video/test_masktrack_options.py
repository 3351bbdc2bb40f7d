"""What a config may ask of `OccMaskTrackRCNN`, and frames of unusual shapes: refused in one line, or run."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vos_occ.inference.session import VideoSession
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures.errors import InputError

OTHER_ROI_HEAD = {
    "_delete_": True,
    "type": "StandardRoIHead",
    "bbox_roi_extractor": {
        "type": "SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": 7},
        "out_channels": 16,
        "featmap_strides": [4, 8, 16, 32],
    },
    "bbox_head": {"type": "Shared2FCBBoxHead", "num_classes": 6, "in_channels": 16},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"occlusion.enabeld": False}, "Occlusion has no option 'enabeld'. It has: enabled, order_known"),
        ({"memory.retain": 3}, "unexpected keyword argument 'retain'"),
        ({"memory.confirm_after": 0}, "are at least 1"),
        ({"association.method": "best"}, "Unknown assignment method 'best'"),
        ({"association.iou": 2.0}, "unexpected keyword argument 'iou'"),
        ({"detector.roi_head": OTHER_ROI_HEAD}, "needs a BilayerRoIHead.*found StandardRoIHead"),
    ],
)
def test_what_the_first_frame_would_stumble_over_is_refused_when_the_model_is_built(
    build_tiny_model: Callable[..., OccMaskTrackRCNN], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_tiny_model(changes)


def test_options_say_what_was_changed_after_loading(build_tiny_model: Callable[..., OccMaskTrackRCNN]) -> None:
    """`run.json` holds them: a run is not resumed with others."""
    model = build_tiny_model({"association.method": "hungarian"})
    assert model.options["association"] == {"method": "hungarian"}
    before = json.dumps(model.options)
    model.limit_tracks(7)
    assert json.loads(json.dumps(model.options))["memory"]["max_tracks"] == 7 and json.dumps(model.options) != before


@pytest.mark.parametrize(("height", "width"), [(1, 2000), (2000, 1), (1, 1)])
def test_frames_of_a_line_of_pixels_are_run(tiny_model: OccMaskTrackRCNN, height: int, width: int) -> None:
    image = tiny_model.prepare(np.zeros((height, width, 3), np.uint8))
    assert min(image.shape) >= 1
    (result,) = VideoSession(tiny_model).step(np.zeros((height, width, 3), np.uint8))
    assert (result.height, result.width) == (height, width)


def test_a_plain_head_has_no_occluders_to_warn_about(build_tiny_model: Callable[..., OccMaskTrackRCNN]) -> None:
    plain = {"_delete_": True, "type": "PlainMaskHead", "in_channels": 16, "conv_out_channels": 16, "num_classes": 6}
    changes = {"detector.roi_head.mask_head": plain, "detector.roi_head.mask_targets": {"occluder": "all"}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_tiny_model(changes).new_state(VideoMeta(96, 160))
