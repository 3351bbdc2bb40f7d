"""Validation while training: videos are run as `tools/test_video.py` runs them, and `eval` scores what was written.

Importing this registers the parts that configs name: `OccVideos`, `OccImages`, `OccValLoop`, `OccVideoMetric` and
`OccImageMetric`.
"""

from vos_occ.validation.clips import OccImages, OccVideos
from vos_occ.validation.image_metric import OccImageMetric
from vos_occ.validation.loop import OccValLoop
from vos_occ.validation.video_metric import OccVideoMetric

__all__ = ["OccImageMetric", "OccImages", "OccValLoop", "OccVideoMetric", "OccVideos"]
