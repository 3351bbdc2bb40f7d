"""Scalabel's polygons with Bezier curves to masks, drawn as scalabel 0.3.1 draws them: with matplotlib, not smoothed.

That rounds every vertex, control points included, to whole pixels, and fills each pixel of which the polygon covers
1/256, or anything at all where its outline runs with the clock: Agg, which matplotlib draws with, rounds negative
shares away from zero. Here the share of each pixel is summed along the outline, so no image library is needed. Agg
rounds on the way, too; of BDD100K's polygons one pixel in 100 000 differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.readers.record import numbers, shown
from eval.readers.segmentation import FARTHEST, longest_outline, outline_length

_LEAST = (1 / 256, -1 / 131_072)  # of a pixel, for outlines that run against the clock (positive) and with it
_FLAT = 0.25  # squared distance in pixels at which Agg takes a curve for straight
_DEEPEST = 32  # subdivisions
_MOST_PIXELS = 1 << 25  # of a mask that is drawn: a frame of 8K has no more

Point = NDArray[np.float64]  # (2,) x, y


class BezierError(ValueError):
    """A polygon is not what Scalabel writes.

    Attributes:
        place: Where in the label's list: "[1].types".
        problem: What was found and expected.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"poly2d{place} {problem}")
        self.place = place
        self.problem = problem


def fill_polygons(polygons: Any, height: int, width: int) -> NDArray[np.uint8]:
    """The pixels of a label's polygons.

    Args:
        polygons: A list of {"vertices": [[x, y], ...], "types": "LLCC...", "closed": true}; x and y in pixels from the
            top left corner. C, C and the vertex after them are the control points and the end of a cubic curve.
        height: Of the mask.
        width: Likewise.

    Returns:
        (height, width) uint8 in {0, 1}.

    Raises:
        BezierError: It is no such list, or a line is open: a line covers no area that could be compared.
    """
    if not isinstance(polygons, list):
        raise BezierError("", f"is {shown(polygons)}, expected a list of polygons")
    if height * width > _MOST_PIXELS:
        raise BezierError("", f"is drawn into {height} x {width} pixels, expected at most {_MOST_PIXELS} (8K)")
    mask = np.zeros((height, width), np.uint8)
    for i, polygon in enumerate(polygons):
        vertices, types = _checked(polygon, i)
        if np.abs(vertices).max(initial=0) > FARTHEST or outline_length(
            [vertices.reshape(-1).tolist()]
        ) > longest_outline(height, width):
            raise BezierError(f"[{i}].vertices", f"reaches far outside of the {height} x {width} pixels of the frame")
        _draw(_outline(np.floor(vertices + 0.5), types), mask)
    return mask


def _checked(polygon: Any, i: int) -> tuple[NDArray[np.float64], str]:
    if not isinstance(polygon, dict):
        raise BezierError(f"[{i}]", f"is {shown(polygon)}, expected an object")
    vertices, types = polygon.get("vertices"), polygon.get("types")
    if not isinstance(vertices, list) or not all(numbers(vertex) and len(vertex) == 2 for vertex in vertices):
        raise BezierError(f"[{i}].vertices", f"is {shown(vertices)}, expected a list of [x, y]")
    if not isinstance(types, str) or len(types) != len(vertices) or set(types) - {"L", "C"}:
        raise BezierError(f"[{i}].types", f"is {shown(types)}, expected L or C for each of {len(vertices)} vertices")
    if polygon.get("closed") is not True:
        raise BezierError(f"[{i}].closed", f"is {shown(polygon.get('closed'))}, expected true")
    return np.array(vertices, np.float64).reshape(-1, 2), types


def _outline(vertices: NDArray[np.float64], types: str) -> list[Point]:
    """Corners of the closed outline, curves replaced by short lines."""
    closed = [*vertices, *vertices[:1]]
    points = closed[:1]
    k = 1
    while k < len(closed):
        if k < len(types) and types[k] == "C" and k + 2 < len(closed):
            points += _flattened(closed[k - 1], closed[k], closed[k + 1], closed[k + 2])
            points.append(closed[k + 2])
            k += 3
        else:
            points.append(closed[k])
            k += 1
    return points


def _flattened(start: Point, first: Point, second: Point, end: Point, depth: int = 0) -> Iterator[Point]:
    """Points between the ends of a cubic curve, halved until its control points lie near the chord.

    Source: the subdivision of Agg 2.4, curve4_div with its default tolerances.
    """
    middle = (first + second) / 2
    chord = end - start
    distances = [abs((point[0] - end[0]) * chord[1] - (point[1] - end[1]) * chord[0]) for point in (first, second)]
    if sum(distances) ** 2 <= _FLAT * (chord @ chord):
        yield from [middle] if max(distances) > 1e-30 else []
        return
    if depth == _DEEPEST:
        return
    left, right = (start + first) / 2, (second + end) / 2
    before, after = (left + middle) / 2, (middle + right) / 2
    centre = (before + after) / 2
    yield from _flattened(start, left, before, centre, depth + 1)
    yield from _flattened(centre, after, right, end, depth + 1)


def _draw(points: Sequence[Point], mask: NDArray[np.uint8]) -> None:
    """Set the pixels of which the outline encloses enough.

    Each piece of an edge within one pixel adds its height to what lies right of it; to its own pixel only the part
    right of the piece.
    """
    if not points:
        return
    corners = np.array(points)
    left, top = np.clip(np.floor(corners.min(0)), 0, mask.shape[::-1]).astype(np.int64).tolist()
    right_end, bottom = np.clip(np.ceil(corners.max(0)), (left, top), mask.shape[::-1]).astype(np.int64).tolist()
    share = np.zeros((bottom - top, right_end - left + 2))
    for start, end in zip(points, points[1:], strict=False):
        pieces = _cut_at_pixels(start, end)
        x, y = (pieces[1:] + pieces[:-1]).T / 2
        rises = np.diff(pieces[:, 1])
        column = np.clip(np.floor(x), left, right_end).astype(np.int64)
        right = np.clip(x - column, 0, 1) * rises
        inside = (y >= top) & (y < bottom)
        row = np.floor(y[inside]).astype(np.int64) - top
        np.add.at(share, (row, column[inside] - left), (rises - right)[inside])
        np.add.at(share, (row, column[inside] - left + 1), right[inside])
    share = np.cumsum(share, axis=1)[:, :-2]
    mask[top:bottom, left:right_end] |= (share >= _LEAST[0]) | (share <= _LEAST[1])


def _cut_at_pixels(start: Point, end: Point) -> NDArray[np.float64]:
    """The ends of an edge and all its points on the borders of pixels, (K, 2) in order."""
    along = [np.array([0.0, 1.0])]
    for axis in (0, 1):
        low, high = sorted((start[axis], end[axis]))
        lines = np.arange(np.floor(low) + 1, np.ceil(high))
        if len(lines):
            along.append((lines - start[axis]) / (end[axis] - start[axis]))
    return start + np.sort(np.concatenate(along))[:, None] * (end - start)
