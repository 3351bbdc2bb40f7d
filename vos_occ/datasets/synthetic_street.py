"""Street scenes: the synthetic world with other classes, and with what street benchmarks do not score.

To the objects come crowds (many small ones, one over the other, that are one object) and distractors, which have the
outline of a class and next to no colour. Their truth is as exact as all else: both hide and are hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_occ.datasets.motion import group_centres, member_path
from vos_occ.datasets.patterns import Split
from vos_occ.datasets.sprites import Sprite, drained, draw_crowd, draw_sprite
from vos_occ.datasets.synthetic import SIZES, SyntheticVideo, SyntheticWorld
from vos_occ.datasets.synthetic_export import UNHIDDEN
from vos_occ.datasets.synthetic_scene import Layer
from vos_occ.datasets.synthetic_truth import SyntheticFrame
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult

CROWDS = 0.5
"""Chance that a video has a crowd."""

DISTRACTORS = 2
"""Most distractors of a video; each number is as likely."""


class StreetWorld(SyntheticWorld):
    """Draws street scenes from seeds.

    Args:
        split: which pool of looks to draw from.
        cast: what draws each class, of `sprites.LOOKS`, by the class's name.
        distractors: the class that each distractor looks like, by the distractor's name; their labels follow those of
            the classes.
        world: further keywords of `SyntheticWorld`.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(self, split: Split, cast: Mapping[str, str], distractors: Mapping[str, str], **world: Any) -> None:
        super().__init__(split, **world)
        self.classes = (*cast, *distractors)
        self.drawn_as = tuple(cast.values())
        self._distractors = tuple(cast[name] for name in distractors.values())

    def _layers(self, photographs: list[str], light: NDArray[np.float64], rng: np.random.Generator) -> list[Layer]:
        """The objects of the plain world and the others, at depths of one order."""
        layers = super()._layers(photographs, light, rng)
        if rng.random() < CROWDS:
            layers.append(self._crowd(photographs, light, rng))
        for _ in range(int(rng.integers(DISTRACTORS + 1)) if self._distractors else 0):
            layers.append(self._distractor(photographs, light, rng))
        depths = rng.permutation(len(layers)).tolist()
        return [replace(layer, depth=depth) for layer, depth in zip(layers, depths, strict=True)]

    def _crowd(self, photographs: list[str], light: NDArray[np.float64], rng: np.random.Generator) -> Layer:
        label = int(rng.integers(len(self.drawn_as)))
        size = self._unit * rng.uniform(*SIZES) * 1.2
        sprite = draw_crowd(self.drawn_as[label], self.split, size / 2, photographs, light, rng)
        return self._placed(sprite, label, size, rng, crowd=True)

    def _distractor(self, photographs: list[str], light: NDArray[np.float64], rng: np.random.Generator) -> Layer:
        kind = int(rng.integers(len(self._distractors)))
        size = self._unit * rng.uniform(*SIZES)
        photograph = str(rng.choice(photographs))
        sprite = draw_sprite(self._distractors[kind], self.split, size / 2, photograph, light, rng)
        return self._placed(drained(sprite, rng), len(self.drawn_as) + kind, size, rng)

    def _placed(self, sprite: Sprite, label: int, size: float, rng: np.random.Generator, crowd: bool = False) -> Layer:
        centre = group_centres(1, self.num_frames, self.height, self.width, rng)[0]
        shift = np.array([rng.uniform(-0.35, 0.35) * self.width, 0])
        path = member_path(centre + shift, rng.uniform(0, np.pi), size, rng)
        return Layer(sprite, path, label, depth=0, crowd=crowd)

    @property
    def _unit(self) -> float:
        """By how much pictures are larger than those that sizes are said for."""
        return min(self.height / 192, self.width / 320)


def true_result(
    frame: SyntheticFrame, *, frame_index: int | None = None, among: NDArray[np.bool_] | None = None
) -> FrameResult:
    """The objects that can be seen, with their visible masks, as a result whose every score is 1.

    Args:
        frame: of a synthetic video.
        frame_index: to give it; None: its own.
        among: (N,) which of the frame's objects to take; None: all.
    """
    seen = np.flatnonzero(frame.is_visible if among is None else frame.is_visible & among)
    masks = [rle.encode(frame.visible[i]) for i in seen]
    return FrameResult(
        frame_index=frame.frame_index if frame_index is None else frame_index,
        height=frame.image.shape[0],
        width=frame.image.shape[1],
        track_ids=frame.track_ids[seen],
        labels=frame.labels[seen],
        scores=np.ones(len(seen), np.float32),
        boxes=np.array([rle.bounding_box(mask) for mask in masks], np.float32).reshape(-1, 4),
        masks=masks,
    )


def true_flags(video: SyntheticVideo, frame: SyntheticFrame) -> dict[str, NDArray[np.bool_]]:
    """What BDD100K says of the objects of `true_result`.

    Returns:
        crowd; occluded, which is hidden by 1 % or more; truncated, which is that the object reaches the picture's edge.
    """
    seen = np.flatnonzero(frame.is_visible)
    amodal = frame.amodal[seen]
    touching = amodal[:, [0, -1]].any((1, 2)) | amodal[:, :, [0, -1]].any((1, 2))
    return {"crowd": crowds(video)[seen], "occluded": frame.hidden[seen] >= UNHIDDEN, "truncated": touching}


def crowds(video: SyntheticVideo) -> NDArray[np.bool_]:
    """(N,) which objects of a video are crowds."""
    return np.array([layer.crowd for layer in video.scene.layers], bool)
