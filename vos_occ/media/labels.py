"""Name tags: text as coverage masks, and places where tags lie inside the picture and not on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from vos_occ.media.colours import Colour
from vos_occ.media.painting import blend

_BACKING: Colour = (17, 19, 24)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_CAP_HEIGHT = 21  # pixels of a capital letter at font scale 1
_SUPERSAMPLE = 4

Rect = tuple[int, int, int, int]  # left, top, right, bottom; end-exclusive
Run = tuple[str, Colour]


@dataclass(frozen=True)
class Label:
    """A tag of one or more lines; a line is a sequence of coloured runs of text.

    Attributes:
        lines: never empty.
        accent: colour of the bar at the left edge.
        cap_height: height of a capital letter in pixels; all distances follow from it.
    """

    lines: tuple[tuple[Run, ...], ...]
    accent: Colour
    cap_height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width = max(sum(render_text(text, self.cap_height).shape[1] for text, _ in line) for line in self.lines)
        return width + 2 * self._padding + self._bar, self._pitch * len(self.lines) + self._padding

    @property
    def _padding(self) -> int:
        return max(2, round(0.5 * self.cap_height))

    @property
    def _bar(self) -> int:
        return max(2, round(0.3 * self.cap_height))

    @property
    def _pitch(self) -> int:
        return render_text("#", self.cap_height).shape[0]

    def draw(self, image: np.ndarray, left: int, top: int) -> None:
        """Draws the tag with its upper left corner at (left, top); what reaches outside the picture is cut off."""
        width, height = self.size
        window = image[top : top + height, left : left + width]
        blend(window, _BACKING, np.full(window.shape[:2], 205, np.uint8))
        window[:, : self._bar] = self.accent
        for row, line in enumerate(self.lines):
            x, y = left + self._bar + self._padding, top + self._padding // 2 + row * self._pitch
            for text, colour in line:
                glyphs = render_text(text, self.cap_height)
                target = image[y : y + glyphs.shape[0], x : x + glyphs.shape[1]]
                blend(target, colour, glyphs[: target.shape[0], : target.shape[1]])
                x += glyphs.shape[1]


@lru_cache(maxsize=2048)
def render_text(text: str, cap_height: int) -> np.ndarray:
    """(h, w) uint8 coverage of a line of text; h is the same for every text of one size.

    Drawn four times as large and averaged down: OpenCV's stroke font is ragged at label sizes otherwise. Characters
    outside ASCII, which the font lacks, become `?`.
    """
    text = text.encode("ascii", "replace").decode("ascii")
    scale = _SUPERSAMPLE * cap_height / _FONT_CAP_HEIGHT
    thickness = max(1, round(_SUPERSAMPLE * cap_height * 0.15))
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    cells = max(1, -(-width // _SUPERSAMPLE))
    line_height = round(1.75 * cap_height)
    canvas = np.zeros((line_height * _SUPERSAMPLE, cells * _SUPERSAMPLE), np.uint8)
    baseline = round((line_height + cap_height) / 2 * _SUPERSAMPLE)
    cv2.putText(canvas, text, (0, baseline), _FONT, scale, 255, thickness, cv2.LINE_AA)
    return cv2.resize(canvas, (cells, line_height), interpolation=cv2.INTER_AREA)


def candidate_rects(box: Sequence[float], size: tuple[int, int], image_size: tuple[int, int], gap: int) -> list[Rect]:
    """Places for a tag round a box, best first, all moved into the picture as far as it is large enough.

    Args:
        box: xyxy in pixels of the picture.
        size: width and height of the tag.
        image_size: width and height of the picture.
        gap: pixels between box and tag.
    """
    width, height = size
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    above, below, left_of, right_of = y0 - gap - height, y1 + gap, x0 - gap - width, x1 + gap
    corners = [(x0, above), (x1 - width, above), (x0, below), (x1 - width, below)]
    corners += [(right_of, y0), (left_of, y0), (right_of, y1 - height), (left_of, y1 - height)]
    corners += [(x0, above - height), (x0, above - 2 * height), (x0, below + height)]
    corners += [(x0, y0), (x0, y1 - height)]
    rects = []
    for left, top in corners:
        left = max(0, min(left, image_size[0] - width))
        top = max(0, min(top, image_size[1] - height))
        rects.append((left, top, left + width, top + height))
    return rects


def choose_place(
    candidates: Sequence[Rect], tags: Sequence[Rect], objects: Sequence[Rect], previous: int | None = None
) -> int:
    """Index of the best candidate: first of all clear of other tags, then covering little of any object.

    Args:
        candidates: from `candidate_rects`, all of one size.
        tags: tags placed already.
        objects: boxes of all objects.
        previous: index taken in the frame before; kept unless another is clearly better, so that tags do not jump.
    """
    costs = []
    for place, rect in enumerate(candidates):
        on_tags = sum(_overlap(rect, other) for other in tags)
        on_objects = sum(_overlap(rect, other) for other in objects)
        area = (rect[2] - rect[0]) * (rect[3] - rect[1])
        costs.append((20 * on_tags + on_objects) / area + 0.03 * place)
    best = min(range(len(costs)), key=costs.__getitem__)
    if previous is not None and previous < len(costs) and costs[previous] <= costs[best] + 0.3:
        return previous
    return best


def _overlap(a: Rect, b: Rect) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
