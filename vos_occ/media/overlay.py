"""Results drawn on their frames: who is where, for how sure, how much is hidden, and behind whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vos_occ.media.colours import Colour, track_colour
from vos_occ.media.labels import Label, Rect, Run, candidate_rects, choose_place
from vos_occ.media.painting import Region, contour, fill, hatch, trail
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult

_WHITE: Colour = (245, 246, 248)
_GREY: Colour = (176, 182, 192)
_LEAST_HIDDEN = 0.01  # below this an object counts as unoccluded (level L0)
_LONGEST_GAP = 5  # pictures; a track unseen for longer starts a new trail


def legible_scale(width: int, height: int, longer_side: int = 640) -> int:
    """Smallest whole factor that makes a picture's longer side at least `longer_side` pixels: room for tags."""
    return max(1, -(-longer_side // max(width, height)))


@dataclass
class _Trace:
    """What the overlay remembers of one track: where it stood, and where its tag was."""

    points: deque[tuple[float, float] | None]
    drawn: int
    place: int | None = None


@dataclass(frozen=True)
class _Pen:
    """Stroke sizes in pixels, from the size of the picture."""

    line: int
    cap_height: int
    hatch_period: float

    @classmethod
    def for_size(cls, width: int, height: int) -> _Pen:
        side = (width * height) ** 0.5
        return cls(max(1, round(side / 420)), max(7, round(side / 85)), max(6.0, side / 80))


class Overlay:
    """Draws the results of one video, frame by frame.

    Every object gets a translucent fill, a contour, a tag with id, class and score, and a trail of where the lower edge
    of its box was. Where occlusion is known, its tag says how much is hidden and behind whom, and what hides it is
    hatched in its colour: blue stripes on a red object say that red hides part of blue. Cost follows the area of the
    objects; memory holds at most `trail_length` points for each track seen lately.

    Args:
        classes: names by label. A label beyond them is drawn as `class 7`.
        show_occlusion: draw hatching, hidden fraction and `behind`.
        trails: draw trails.
        trail_length: points of a trail, one per frame.
        alpha: opacity of the fill, in [0, 1].
        scale: whole factor by which the picture is enlarged first; see `legible_scale`. Small videos have no room for
            text otherwise, and enlarged masks get smooth edges.
    """

    def __init__(
        self,
        classes: Sequence[str],
        show_occlusion: bool = True,
        trails: bool = True,
        *,
        trail_length: int = 40,
        alpha: float = 0.45,
        scale: int = 1,
    ) -> None:
        if scale < 1:
            raise ValueError(f"scale must be a whole number >= 1, got {scale}.")
        self._classes = list(classes)
        self._show_occlusion = show_occlusion
        self._show_trails = trails
        self._trail_length = trail_length
        self._alpha = alpha
        self._scale = scale
        self._traces: dict[int, _Trace] = {}
        self._drawn = 0

    def draw(self, image: np.ndarray, result: FrameResult) -> np.ndarray:
        """Draws one frame; frames are expected in order.

        Args:
            image: (H, W, 3) uint8 RGB; not changed.
            result: what was found in it.

        Returns:
            (H * scale, W * scale, 3) uint8 RGB, a new array.

        Raises:
            ValueError: picture and result differ in size.
        """
        if image.shape[:2] != (result.height, result.width):
            raise ValueError(f"The picture is {image.shape[:2]}, but {result} is not of that size.")
        self._remember(result)
        canvas = self._enlarge(image)
        pen = _Pen.for_size(canvas.shape[1], canvas.shape[0])
        colours = [track_colour(int(track_id)) for track_id in result.track_ids]
        regions = [self._region(mask) for mask in result.masks]
        for i in sorted(range(len(result)), key=lambda i: -regions[i].mask.size):  # small ones on top
            fill(canvas, regions[i], colours[i], self._alpha)
        if self._show_occlusion and result.occluder_masks is not None:
            self._draw_occluders(canvas, result, colours, pen)
        for region, colour in zip(regions, colours, strict=True):
            contour(canvas, region, colour, pen.line)
        if self._show_trails:
            self._draw_trails(canvas, result, colours, pen)
        self._draw_labels(canvas, result, colours, pen)
        return canvas

    def _enlarge(self, image: np.ndarray) -> np.ndarray:
        if self._scale == 1:
            return np.array(image, order="C")
        return cv2.resize(image, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_CUBIC)

    def _region(self, mask: rle.Rle) -> Region:
        return Region(*rle.decode_box(mask), scale=self._scale)

    def _remember(self, result: FrameResult) -> None:
        self._drawn += 1  # pictures, not frame indices: a clip with a stride has trails too
        for track_id, box in zip(result.track_ids.tolist(), result.boxes.tolist(), strict=True):
            trace = self._traces.setdefault(track_id, _Trace(deque(maxlen=self._trail_length), self._drawn))
            if self._drawn - trace.drawn > _LONGEST_GAP:
                trace.points.append(None)
            trace.points.append(((box[0] + box[2]) / 2 * self._scale, box[3] * self._scale))
            trace.drawn = self._drawn
        oldest = self._drawn - self._trail_length
        self._traces = {key: trace for key, trace in self._traces.items() if trace.drawn >= oldest}

    def _draw_occluders(self, canvas: np.ndarray, result: FrameResult, colours: Sequence[Colour], pen: _Pen) -> None:
        assert result.occluder_masks is not None
        for i, mask in enumerate(result.occluder_masks):
            if mask is None:
                continue
            region = self._region(mask)
            hatch(canvas, region, colours[i], pen.hatch_period, rising=bool(result.track_ids[i] % 2))
            contour(canvas, region, colours[i], max(1, pen.line // 2))

    def _draw_trails(self, canvas: np.ndarray, result: FrameResult, colours: Sequence[Colour], pen: _Pen) -> None:
        for track_id, colour in zip(result.track_ids.tolist(), colours, strict=True):
            trail(canvas, self._traces[track_id].points, colour, pen.line + 1)

    def _draw_labels(self, canvas: np.ndarray, result: FrameResult, colours: Sequence[Colour], pen: _Pen) -> None:
        height, width = canvas.shape[:2]
        boxes = (result.boxes * self._scale).tolist()
        objects = [(round(x0), round(y0), round(x1), round(y1)) for x0, y0, x1, y1 in boxes]
        tags: list[Rect] = []
        for i in np.argsort(result.track_ids).tolist():  # the same order in every frame: tags keep their places
            label = Label(tuple(self._lines(result, i)), colours[i], pen.cap_height)
            rects = candidate_rects(boxes[i], label.size, (width, height), gap=pen.line + 1)
            trace = self._traces[int(result.track_ids[i])]
            trace.place = choose_place(rects, tags, objects, trace.place)
            tags.append(rects[trace.place])
            label.draw(canvas, *rects[trace.place][:2])

    def _lines(self, result: FrameResult, i: int) -> Iterable[tuple[Run, ...]]:
        track_id, label = int(result.track_ids[i]), int(result.labels[i])
        name = self._classes[label] if label < len(self._classes) else f"class {label}"
        yield (f"#{track_id} ", track_colour(track_id)), (f"{name} ", _WHITE), (f"{result.scores[i]:.2f}", _GREY)
        occlusion = self._occlusion_runs(result, i) if self._show_occlusion else ()
        if occlusion:
            yield tuple(occlusion)

    def _occlusion_runs(self, result: FrameResult, i: int) -> Sequence[Run]:
        runs: list[Run] = []
        if result.hidden is not None and result.hidden[i] >= _LEAST_HIDDEN:  # nan, undefined, compares false
            runs.append((f"hidden {100 * result.hidden[i]:.0f} %", _WHITE))
        behind = result.hidden_by(i)
        if behind:
            runs.append((" behind " if runs else "behind ", _GREY))
            runs += [(f"#{other}" + " " * (other != behind[-1]), track_colour(other)) for other in behind]
        return runs
