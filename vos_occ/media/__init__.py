"""Videos in and out, and results drawn on them. PyAV, OpenCV and numpy; knows `structures`, no models."""

from vos_occ.media.clip import Clip, Moment
from vos_occ.media.colours import track_colour
from vos_occ.media.contact_sheet import ContactSheet
from vos_occ.media.overlay import Overlay, legible_scale
from vos_occ.media.place import source_stem
from vos_occ.media.reader import Frame, VideoReader, open_video
from vos_occ.media.writer import VideoWriter

__all__ = [
    "Clip",
    "ContactSheet",
    "Frame",
    "Moment",
    "Overlay",
    "VideoReader",
    "VideoWriter",
    "legible_scale",
    "open_video",
    "source_stem",
    "track_colour",
]
