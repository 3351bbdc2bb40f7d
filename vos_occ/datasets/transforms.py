"""Augmentations of a `Sample`. Each carries masks, ids, hidden fractions and order along together.

mmdet's own know boxes and masks only, and drop instances without telling the rest, which is why they are not used.
A hidden fraction stays that of the whole object when a crop cuts the object: the amodal mask is not known here.
Every transform is `transform(sample, rng) -> Sample`; the generator comes from the caller, no global one is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from vos_occ.datasets.sample import Sample


class RandomFlip:
    """Mirrors left and right with probability `prob`."""

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        image, masks = sample.image[:, ::-1], sample.masks[:, :, ::-1]
        return replace(sample, image=np.ascontiguousarray(image), masks=np.ascontiguousarray(masks))


class RandomScaleCrop:
    """Resizes to fit `size`, times a random factor, and crops or pads to exactly `size` (large-scale jitter).

    Args:
        size: (height, width) of the result in pixels.
        scale: range of the factor, drawn log-uniformly; 1 fits the image into `size`.
        min_kept: an instance of which less than this fraction of its visible pixels stays in the crop is dropped.
        fill: grey value beyond the image.
    """

    def __init__(
        self,
        size: Sequence[int],
        scale: Sequence[float] = (1.0, 1.0),
        min_kept: float = 0.25,
        fill: int = 114,
    ) -> None:
        self.size = tuple(size)
        self.scale = tuple(scale)
        self.min_kept = min_kept
        self.fill = fill

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        size = self._scaled(sample.image.shape[:2], rng)
        shrinks = size[0] < sample.image.shape[0]
        image = cv2.resize(sample.image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        masks = np.array([_resize_mask(mask, size) for mask in sample.masks], np.uint8).reshape(-1, *size)
        corner = self._corner(size, rng)
        cropped = replace(
            sample,
            image=_place(image, corner, self.size, self.fill),
            masks=np.array([_place(mask, corner, self.size, 0) for mask in masks], np.uint8).reshape(-1, *self.size),
        )
        before, after = masks.sum((1, 2), np.float64), cropped.masks.sum((1, 2), np.float64)
        return cropped.select((after > 0) & (after >= self.min_kept * before))

    def _scaled(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """(height, width) that an image of `size` is resized to."""
        fit = min(self.size[0] / size[0], self.size[1] / size[1])
        factor = fit * float(np.exp(rng.uniform(np.log(self.scale[0]), np.log(self.scale[1]))))
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    def _corner(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """(y, x) of an image's top left on the canvas: anywhere that wastes no more of either than must be."""
        spare = np.array(self.size) - size
        y, x = (int(rng.integers(min(0, room), max(0, room) + 1)) for room in spare)
        return y, x


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # an even 254 can be halved: of two that touch, a pixel on the line between them goes to neither, never to both
    return (cv2.resize(mask * 254, size[::-1], interpolation=cv2.INTER_LINEAR) > 127).astype(np.uint8)


def _place(array: np.ndarray, corner: Sequence[int], size: Sequence[int], fill: int) -> np.ndarray:
    """`array` with its top-left corner at `corner` (negative: cut off) of a canvas of `size`."""
    canvas = np.full((*size, *array.shape[2:]), fill, array.dtype)
    (y, x), (height, width) = corner, array.shape[:2]
    target = canvas[max(y, 0) : y + height, max(x, 0) : x + width]
    target[:] = array[max(-y, 0) :, max(-x, 0) :][: target.shape[0], : target.shape[1]]
    return canvas


class ColorJitter:
    """Brightness, contrast, saturation and hue, each by a random amount; sometimes grey or blurred.

    Args:
        strength: 0 leaves the image alone, 1 is the usual amount for small data sets.
        blur_prob: probability of a slight Gaussian blur, as in compressed or fast video.
    """

    def __init__(self, strength: float = 1.0, blur_prob: float = 0.2) -> None:
        self.strength = strength
        self.blur_prob = blur_prob

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        s = self.strength
        image = sample.image.astype(np.float32)
        image = (image - 128) * (1 + s * rng.uniform(-0.35, 0.35)) + 128 + s * rng.uniform(-32, 32)
        grey = image.mean(2, keepdims=True)
        image = grey + (image - grey) * max(0.0, 1 + s * rng.uniform(-0.5, 0.5))
        image *= 1 + s * rng.uniform(-0.08, 0.08, 3).astype(np.float32)
        if rng.random() < self.blur_prob:
            image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.3)))
        return replace(sample, image=np.clip(image, 0, 255).astype(np.uint8))


class DropSmall:
    """Drops instances with fewer than `min_area` visible pixels, or a side under `min_side`: no detector finds them."""

    def __init__(self, min_area: int = 24, min_side: int = 3) -> None:
        self.min_area = min_area
        self.min_side = min_side

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        boxes = sample.boxes()
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        areas = sample.masks.sum((1, 2))
        return sample.select((areas >= self.min_area) & (sides >= self.min_side))
