"""The shapes of CVAT's tracks: read from their elements, filled in between keyframes, drawn as masks.

Where frames are left out, they are filled as CVAT fills them: boxes, and polygons of equally many points, move along a
line; other polygons and masks stay as they were; nothing is there from `outside` on until the next shape that is not.
(Between polygons of different numbers of points CVAT matches curves; its own exports hold those frames.)
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.readers.cvat_head import CvatHead
from eval.readers.record import Record
from eval.readers.segmentation import read_mask
from eval.readers.shapes import encode_window
from eval.readers.ytvis_tubes import OCCLUSION_LABELS
from eval.rle import Rle, areas

KINDS = ("box", "polygon", "mask")


@dataclass(frozen=True)
class Shape:
    """A track at one frame.

    Attributes:
        kind: One of KINDS.
        frame: 0-based, among the frames that were annotated.
        outside: Whether the object is gone.
        points: (N, 2) x, y of a polygon's or a box' corners; empty for a mask.
        mask: Of a mask.
        facts: What else is said of it, by name.
    """

    kind: str
    frame: int
    outside: bool
    points: NDArray[np.float64]
    mask: Rle | None
    facts: Mapping[str, Any]


def read_shape(element: ElementTree.Element, place: str, head: CvatHead) -> Shape:
    """A shape of a track.

    Raises:
        SchemaError: It is of no kind that has pixels, or something in it does not fit.
    """
    frame = element.get("frame", "")
    place = f"{place}, {element.tag} of frame {frame[:20] or '?'}"
    if element.tag not in KINDS:
        cure = f"Draw it as one of {', '.join(KINDS)}, or delete it in CVAT."
        raise head.error(place, "has no mask", cure)
    if not frame.isdecimal() or len(frame) > 12:
        raise head.error(place, "has no frame number", "Correct it.")
    index = head.index_of(int(frame), place)
    outside = _flag(element, "outside", place, head)
    points, mask = np.zeros((0, 2)), None
    if element.tag == "mask":
        mask = None if outside else _run_lengths(element, place, head)
    else:
        points = _corners(element, place, head) if element.tag == "box" else _polygon(element, place, head)
    return Shape(element.tag, index, outside, points, mask, _facts(element, place, head))


def _facts(element: ElementTree.Element, place: str, head: CvatHead) -> dict[str, Any]:
    """Occluded flag, depth and attributes; our own attributes `occlusion` and `hidden` by their names."""
    facts: dict[str, Any] = {}
    if _flag(element, "occluded", place, head):
        facts["occluded"] = True
    if element.get("z_order", "0") != "0":
        facts["z_order"] = int(_real(element, "z_order", place, head))
    attributes = {child.get("name", ""): (child.text or "").strip() for child in element.iterfind("attribute")}
    if attributes.get("occlusion") in OCCLUSION_LABELS:
        facts["occlusion"] = attributes.pop("occlusion")
    try:
        if 0 <= float(attributes.get("hidden", "nan")) <= 1:
            facts["hidden"] = float(attributes.pop("hidden"))
    except ValueError:
        pass  # a text of the user's own: it stays among the attributes
    return facts | ({"attributes": attributes} if attributes else {})


def fill(shapes: Sequence[Shape], length: int) -> list[Shape | None]:
    """The shape of a track at every frame, None where there is none.

    Args:
        shapes: By ascending frame.
        length: Frames of the video.
    """
    filled: list[Shape | None] = [None] * length
    for k, shape in enumerate(shapes):
        following = shapes[k + 1] if k + 1 < len(shapes) else None
        end = length if following is None else following.frame
        if not shape.outside:
            for t in range(shape.frame, end):
                filled[t] = _between(shape, following, t)
    return filled


def _between(shape: Shape, following: Shape | None, frame: int) -> Shape:
    """The shape at a frame from its own on and before the following one."""
    moves = (
        following is not None
        and not following.outside
        and shape.kind == following.kind != "mask"
        and shape.points.shape == following.points.shape
    )
    if not moves or following is None:
        return shape
    share = (frame - shape.frame) / (following.frame - shape.frame)
    return replace(shape, points=shape.points + share * (following.points - shape.points))


def draw(shape: Shape, place: str, head: CvatHead) -> Rle | None:
    """The pixels of a shape, None where it covers none."""
    mask = shape.mask
    if shape.kind != "mask":
        polygon = [float(value) for value in shape.points.reshape(-1)]
        record = Record({}, f"{place}, {shape.kind} of frame {head.frame_of(shape.frame)}", head.file)
        mask = read_mask([polygon], head.height, head.width, record, "")
    return mask if areas([mask])[0] else None


def _corners(element: ElementTree.Element, place: str, head: CvatHead) -> NDArray[np.float64]:
    """(4, 2) of a box, turned clockwise about its centre by `rotation` degrees."""
    x0, y0, x1, y1 = (_real(element, name, place, head) for name in ("xtl", "ytl", "xbr", "ybr"))
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    turn = math.radians(_real(element, "rotation", place, head)) if element.get("rotation") else 0.0
    if not turn:
        return corners
    centre = corners.mean(0)
    rotate = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return (corners - centre) @ rotate + centre


def _polygon(element: ElementTree.Element, place: str, head: CvatHead) -> NDArray[np.float64]:
    try:
        pairs = [[float(value) for value in pair.split(",")] for pair in element.get("points", "").split(";")]
        points = np.array(pairs, np.float64).reshape(len(pairs), 2)
    except ValueError:
        raise head.error(place, "has points that are not 'x,y;x,y;...'", "Correct it.") from None
    if len(points) < 3 or not np.isfinite(points).all():
        raise head.error(place, f"has {len(points)} points, expected three or more finite ones", "Draw it again.")
    return points


def _run_lengths(element: ElementTree.Element, place: str, head: CvatHead) -> Rle:
    """The mask of run lengths along the rows of a window, background first."""
    left, top, width, height = (int(_real(element, name, place, head)) for name in ("left", "top", "width", "height"))
    text = element.get("rle", "").split(",")
    if not all(part.strip().isdecimal() and len(part) < 12 for part in text):
        raise head.error(place, "has an rle that is not a list of whole numbers", "Export it again.")
    inside = 0 <= left < left + width <= head.width and 0 <= top < top + height <= head.height
    lengths = np.array([int(part) for part in text], np.int64)
    if not inside or lengths.sum() > width * height:
        place_of = f"{width} x {height} at {left}, {top}"
        raise head.error(
            place, f"covers {lengths.sum()} pixels of a window of {place_of}, and must fit", "Export it again."
        )
    window = np.zeros(width * height, bool)
    window[: lengths.sum()] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return encode_window(window.reshape(height, width), left, top, head.height, head.width)


def _flag(element: ElementTree.Element, name: str, place: str, head: CvatHead) -> bool:
    value = element.get(name, "0")
    if value not in ("0", "1"):
        raise head.error(place, f"has {name}={value[:20]!r}, expected 0 or 1", "Correct it.")
    return value == "1"


def _real(element: ElementTree.Element, name: str, place: str, head: CvatHead) -> float:
    text = element.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e6:
        raise head.error(place, f"has {name}={text[:20]!r}, expected a number of pixels", "Correct it.")
    return value
