"""One picture of the hardest occlusions of a video: each as it was filmed and as it was understood, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vos_occ.media.colours import Colour, track_colour
from vos_occ.media.hardest import HardestMoments, covered_by_others, hardness
from vos_occ.media.labels import Label, Rect, Run, candidate_rects, choose_place, render_text
from vos_occ.media.painting import Region, blend, contour, fill, hatch
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult

_WHITE: Colour = (245, 246, 248)
_GREY: Colour = (160, 167, 178)
_GROUND: Colour = (30, 33, 39)
_CELL: Colour = (17, 19, 24)

_PANE = 300  # pixels; a cell shows two square panes
_MARGIN = 3  # drawn beyond each edge of a pane and cut off, so that outlines do not close along the edge
_CAP = 11  # height of a capital letter in captions
_TITLE_CAP = 16
_GAP = 14  # between cells
_CONTEXT = 1.5  # side of the square that is shown, in longer sides of the object's box
_SMALLEST = 40  # least side of that square in pixels of the video: larger than life, there is nothing to see
_LEAST_HARDNESS = 0.1
_LEAST_SHARE = 0.02  # of the box; below it another object is not worth naming

Window = tuple[int, int, int]  # left, top and side in pixels of the video; may reach outside it


class ContactSheet:
    """Collects the hardest occlusions of a video, frame by frame, and lays them out on one picture.

    A moment is hard by the hidden fraction that is predicted and by how much of the object's box belongs to others; see
    `hardest.py`. Memory holds the cells that are on the sheet, whatever the length of the video.

    Args:
        title: name of the video.
        classes: names by label. A label beyond them is called `class 7`.
        show_occlusion: say what the model says of it; False for models, or runs, that say nothing.
        cells: how many moments are shown, at most.
        columns: of cells.
        per_track: moments of one track, at most.
        gap: frames between two moments of one track, at least.
    """

    def __init__(
        self,
        title: str,
        classes: Sequence[str],
        *,
        show_occlusion: bool = True,
        cells: int = 12,
        columns: int = 3,
        per_track: int = 3,
        gap: int = 25,
    ) -> None:
        self._title = title
        self._classes = list(classes)
        self._show_occlusion = show_occlusion
        self._columns = columns
        self._moments = HardestMoments(cells, per_track, gap)

    def add(self, image: np.ndarray, result: FrameResult, time: float | None = None) -> None:
        """Looks at one frame.

        Args:
            image: (H, W, 3) uint8 RGB; not changed, and not kept.
            result: what was found in it.
            time: in seconds, for the caption.

        Raises:
            ValueError: picture and result differ in size.
        """
        if image.shape[:2] != (result.height, result.width):
            raise ValueError(f"The picture is {image.shape[:2]}, but {result} is not of that size.")
        covered = covered_by_others(result)
        for i, value in enumerate(hardness(result, covered).tolist()):
            if value >= _LEAST_HARDNESS and rle.area(result.masks[i]):
                cell = _Cell(image, result, i, covered[i], self._caption(result, i, covered[i], time))
                self._moments.offer(value, int(result.track_ids[i]), result.frame_index, cell.draw)

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the moments seen so far, hardest first, row by row."""
        cells = [moment.picture for moment in self._moments.hardest_first()]
        columns = max(1, min(self._columns, len(cells)))
        rows = -(-len(cells) // columns)
        width, height = 2 * _PANE + 2, _PANE + 4 * _line_height(_CAP)
        head = self._head(len(cells), columns * (width + _GAP) - _GAP)
        sheet = np.empty((head.shape[0] + rows * (height + _GAP) + _GAP, head.shape[1] + 2 * _GAP, 3), np.uint8)
        sheet[:] = _GROUND
        sheet[_GAP : _GAP + head.shape[0], _GAP:-_GAP] = head
        for k, cell in enumerate(cells):
            x = _GAP + k % columns * (width + _GAP)
            y = head.shape[0] + _GAP + k // columns * (height + _GAP)
            sheet[y : y + height, x : x + width] = cell
        return sheet

    def _head(self, count: int, width: int) -> np.ndarray:
        head = np.empty((_line_height(_TITLE_CAP) + 3 * _line_height(_CAP), width, 3), np.uint8)
        head[:] = _GROUND
        _write(head, 0, 0, [(self._title, _WHITE)], _TITLE_CAP)
        y = _line_height(_TITLE_CAP)
        if not count:
            _write(head, 0, y, [("no object is hidden, or has others in its box", _GREY)], _CAP)
            return head
        moments = "the hardest moment" if count == 1 else f"the {count} hardest moments"
        _write(head, 0, y, [(f"{moments}, each as filmed and as understood", _WHITE)], _CAP)
        legend = "thick outline: the object; thin: others"
        if self._show_occlusion:
            legend += "; hatched: what the model says hides it"
        _write(head, 0, y + _line_height(_CAP), [(legend, _GREY)], _CAP)
        return head

    def _caption(self, result: FrameResult, i: int, covered: np.ndarray, time: float | None) -> list[list[Run]]:
        track_id, label = int(result.track_ids[i]), int(result.labels[i])
        name = self._classes[label] if label < len(self._classes) else f"class {label}"
        when = f"frame {result.frame_index}" + ("" if time is None else f", {time:.2f} s")
        who: list[Run] = [(f"#{track_id} ", track_colour(track_id)), (f"{name} {result.scores[i]:.2f}", _WHITE)]
        lines = [[*who, (f"  {when}", _GREY)]]
        if self._show_occlusion:
            lines.append(_claim(result, i))
        shares = [(int(result.track_ids[j]), covered[j]) for j in np.argsort(-covered) if covered[j] >= _LEAST_SHARE]
        owners = [(f" #{other} {100 * share:.0f} %", track_colour(other)) for other, share in shares[:4]]
        lines.append([("in its box:", _GREY), *owners] if owners else [("alone in its box", _GREY)])
        return lines


class _Cell:
    """One moment: picture and overlay side by side, and the caption below."""

    def __init__(
        self, image: np.ndarray, result: FrameResult, i: int, covered: np.ndarray, caption: list[list[Run]]
    ) -> None:
        self._image = image
        self._result = result
        self._i = i
        self._covered = covered
        self._caption = caption

    def draw(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        line = _line_height(_CAP)
        cell = np.empty((_PANE + 4 * line, 2 * _PANE + 2, 3), np.uint8)
        cell[:] = _CELL
        window = _window(self._result, self._i)
        plain = _view(self._image, window)
        cell[:_PANE, :_PANE] = _cut(plain)
        cell[:_PANE, _PANE + 2 :] = self._overlay(plain, window)
        cell[_PANE:, :4] = track_colour(int(self._result.track_ids[self._i]))
        for row, runs in enumerate(self._caption):
            _write(cell, 14, _PANE + line // 3 + row * line, runs, _CAP)
        return cell

    def _overlay(self, plain: np.ndarray, window: Window) -> np.ndarray:
        canvas, result = plain.copy(), self._result
        colours = [track_colour(int(track_id)) for track_id in result.track_ids]
        shown = {j: region for j, mask in enumerate(result.masks) if (region := _region(mask, window)) is not None}
        others = [j for j in shown if j != self._i]
        if self._i in shown:
            fill(canvas, shown[self._i], colours[self._i], 0.45)
        occluder = None if result.occluder_masks is None else result.occluder_masks[self._i]
        hatched = None if occluder is None else _region(occluder, window)
        if hatched is not None:
            hatch(canvas, hatched, colours[self._i], 9, rising=True)
        for j in others:
            if self._covered[j] >= _LEAST_SHARE:
                fill(canvas, shown[j], colours[j], 0.2)
            contour(canvas, shown[j], colours[j], 1)
        if self._i in shown:
            contour(canvas, shown[self._i], colours[self._i], 2)
        pane = _cut(canvas)
        _tag(pane, {j: shown[j] for j in [self._i, *others] if j in shown}, result, colours)
        return pane


def _claim(result: FrameResult, i: int) -> list[Run]:
    """What the model says: how much of the object is hidden, and behind whom."""
    known = result.hidden is not None and not np.isnan(result.hidden[i])
    runs: list[Run] = [(f"hidden {100 * result.hidden[i]:.0f} %", _WHITE) if known else ("hidden ?", _GREY)]  # type: ignore[index]
    behind = result.hidden_by(i)
    nobody = "  behind ?" if result.order is None else "  behind none that is tracked"
    runs.append(("  behind" if behind else nobody, _GREY))
    return runs + [(f" #{other}", track_colour(other)) for other in behind[:6]]


def _window(result: FrameResult, i: int) -> Window:
    """The square round object i, moved into the frame as far as it is large enough."""
    frame = np.array([result.width, result.height])
    low, high = result.boxes[i, :2].clip(0, frame), result.boxes[i, 2:].clip(0, frame)
    side = max(_SMALLEST, round(_CONTEXT * float((high - low).max())))
    corner = np.round((low + high - side) / 2)
    corner = np.where(frame >= side, corner.clip(0, np.maximum(frame - side, 0)), (frame - side) // 2)
    return int(corner[0]), int(corner[1]), side


def _view(image: np.ndarray, window: Window) -> np.ndarray:
    """The window at the size of a pane, with its margin; outside the frame it is dark."""
    left, top, side = _with_margin(window)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    around = (y0 - top, top + side - y1, x0 - left, left + side - x1)
    square = cv2.copyMakeBorder(image[y0:y1, x0:x1], *around, cv2.BORDER_CONSTANT, value=_CELL)
    return _to_pane(square, side)


def _region(mask: rle.Rle, window: Window) -> Region | None:
    """A mask in a pane; None if nothing of it lies there."""
    left, top, side = _with_margin(window)
    crop, x0, y0 = rle.decode_box(mask)
    square = np.zeros((side, side), np.uint8)
    inside = crop[max(top - y0, 0) : max(top + side - y0, 0), max(left - x0, 0) : max(left + side - x0, 0)]
    if not inside.any():
        return None
    row, column = max(y0 - top, 0), max(x0 - left, 0)
    square[row : row + inside.shape[0], column : column + inside.shape[1]] = inside * np.uint8(255)
    return Region(_to_pane(square, side) > 127, 0, 0)


def _with_margin(window: Window) -> Window:
    left, top, side = window
    margin = -(-_MARGIN * side // _PANE)
    return left - margin, top - margin, side + 2 * margin


def _to_pane(square: np.ndarray, side: int) -> np.ndarray:
    size = _PANE + 2 * _MARGIN
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC)


def _cut(view: np.ndarray) -> np.ndarray:
    return view[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _tag(pane: np.ndarray, regions: dict[int, Region], result: FrameResult, colours: Sequence[Colour]) -> None:
    """Ids beside the objects, the first one first."""
    rects = {}
    for j, region in regions.items():
        x, y, w, h = cv2.boundingRect(region.mask)
        rects[j] = tuple(np.clip([x - _MARGIN, y - _MARGIN, x + w - _MARGIN, y + h - _MARGIN], 0, _PANE).tolist())
    tags: list[Rect] = []
    for j in regions:
        label = Label((((f"#{result.track_ids[j]}", colours[j]),),), colours[j], 8)
        places = candidate_rects(rects[j], label.size, (_PANE, _PANE), gap=2)
        place = places[choose_place(places, tags, list(rects.values()))]
        tags.append(place)
        label.draw(pane, *place[:2])


def _line_height(cap_height: int) -> int:
    return render_text("#", cap_height).shape[0]


def _write(canvas: np.ndarray, x: int, y: int, runs: Sequence[Run], cap_height: int) -> None:
    """Text from (x, y) on; what reaches outside the canvas is cut off."""
    for text, colour in runs:
        glyphs = render_text(text, cap_height)
        target = canvas[y : y + glyphs.shape[0], x : x + glyphs.shape[1]]
        blend(target, colour, glyphs[: target.shape[0], : target.shape[1]])
        x += glyphs.shape[1]
