"""Occlusion-aware video instance segmentation and multi-object tracking and segmentation.

>>> from vos_occ import load, open_video, VideoSession
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vos_occ.inference.load import load
    from vos_occ.inference.session import VideoSession
    from vos_occ.media import open_video

__version__ = "0.1.0"
__all__ = ["VideoSession", "load", "open_video"]


def __getattr__(name: str) -> Any:
    """Imports the three on first use, so that `import vos_occ` alone costs nothing."""
    if name == "load":
        from vos_occ.inference.load import load

        return load
    if name == "VideoSession":
        from vos_occ.inference.session import VideoSession

        return VideoSession
    if name == "open_video":
        from vos_occ.media import open_video

        return open_video
    raise AttributeError(f"module 'vos_occ' has no attribute {name!r}")
