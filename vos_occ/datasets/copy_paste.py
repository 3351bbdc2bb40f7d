"""Seeded copy-paste of whole instances in front of others: true occluders, with order and hidden fraction known.

Follows the idea of Simple Copy-Paste (Ghiasi et al., CVPR 2021); what is new here is what is kept of it:
who is in front, and how much of everybody is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vos_occ.datasets.sample import UNKNOWN_OCCLUSION, Sample
from vos_occ.structures.boxes import box_iou

PASTED_ID = 1 << 60  # ids of real data sets stay far below
KNOWN_HIDDEN = 0.01  # less is no occlusion: level L0


@dataclass(frozen=True)
class Cutout:
    """An instance cut out of its image.

    Attributes:
        image: (h, w, 3) uint8 RGB crop.
        mask: (h, w) uint8 in {0, 1}.
        label: class index.
    """

    image: np.ndarray
    mask: np.ndarray
    label: int


def standalone(sample: Sample, margin: float = 0.05) -> np.ndarray:
    """(N,) bool: instances whose box no other box overlaps by IoU > `margin`; taken to be wholly visible."""
    overlap = box_iou(sample.boxes(), sample.boxes())
    np.fill_diagonal(overlap, 0)
    return ~(overlap > margin).any(1) & ~sample.crowd


def assume_standalone_visible(sample: Sample) -> Sample:
    """Sets the unknown hidden fraction of instances that stand alone to 0.

    Modal data sets do not say what is hidden. An annotated object with no annotated neighbour may still be hidden by
    something that nobody annotated: this is a guess that is right most of the time. It never overrides what is known.
    """
    guessed = np.isnan(sample.hidden) & standalone(sample) & sample.mask_known
    hidden = np.where(guessed, np.float32(0), sample.hidden)
    return replace(sample, hidden=hidden)


class CopyPaste:
    """Pastes instances of other samples over a sample, most of them onto an instance that is there.

    Args:
        prob: probability that anything is pasted.
        max_objects: 1..max_objects instances are pasted, one after the other, each in front of all before.
        size_ratio: range of pasted height over the height of the instance that it is put in front of.
        min_area: instances smaller than this many pixels are not cut out.
    """

    def __init__(
        self,
        prob: float = 0.7,
        max_objects: int = 2,
        size_ratio: Sequence[float] = (0.7, 1.4),
        min_area: int = 600,
    ) -> None:
        self.prob = prob
        self.max_objects = max_objects
        self.size_ratio = tuple(size_ratio)
        self.min_area = min_area

    def draw(self, other: Callable[[], Sample], rng: np.random.Generator) -> list[Cutout]:
        """The instances to paste; `other()` answers with a random other sample."""
        if rng.random() >= self.prob:
            return []
        cutouts = [self._cut(other(), rng) for _ in range(int(rng.integers(1, self.max_objects + 1)))]
        return [cutout for cutout in cutouts if cutout is not None]

    def _cut(self, sample: Sample, rng: np.random.Generator) -> Cutout | None:
        areas = sample.masks.sum((1, 2))
        whole = standalone(sample) & ~(sample.hidden > KNOWN_HIDDEN)  # nan, which is unknown, is not greater
        candidates = np.flatnonzero((areas >= self.min_area) & whole & sample.mask_known)
        if not len(candidates):
            return None
        index = int(rng.choice(candidates))
        x0, y0, x1, y1 = sample.boxes()[index].astype(int)
        return Cutout(sample.image[y0:y1, x0:x1], sample.masks[index, y0:y1, x0:x1], int(sample.labels[index]))

    def paste(
        self,
        sample: Sample,
        cutouts: Sequence[Cutout],
        targets: Sequence[int],
        rng: np.random.Generator,
    ) -> Sample:
        """Pastes `cutouts` in front of the instances with ids `targets`, one each; number i gets id `PASTED_ID` + i.

        A target that is not there, such as 0, means anywhere.
        """
        result = assume_standalone_visible(sample)
        for number, (cutout, target) in enumerate(zip(cutouts, targets, strict=True)):
            found = np.flatnonzero(result.instance_ids == target)
            box = result.boxes()[found[0]] if len(found) else None
            result = _paste_one(result, cutout, PASTED_ID + number, *self._placement(result, cutout, box, rng))
        return result

    def _placement(
        self, sample: Sample, cutout: Cutout, box: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[float, int, int]:
        height, width = sample.image.shape[:2]
        if box is None or box[3] <= box[1]:
            box = _anywhere(height, width, rng)
        ratio = float(rng.uniform(*self.size_ratio))
        scale = min(max(ratio * (box[3] - box[1]) / cutout.mask.shape[0], 0.1), 4.0)
        size = np.array(cutout.mask.shape[::-1]) * scale
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.6, 0.6, 2) * (box[2:] - box[:2]) * np.array([1.0, 0.5])
        x, y = np.round(centre - size / 2).astype(int)
        return scale, int(x), int(y)


def _anywhere(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A place for an instance that is put in front of nothing in particular: xyxy, 30-90 % of the image's height."""
    side = float(rng.uniform(0.3, 0.9)) * height
    x, y = rng.uniform(0, width), rng.uniform(side / 2, max(height - side / 2, side / 2))
    return np.array([x - side / 4, y - side / 2, x + side / 4, y + side / 2])


def _paste_one(sample: Sample, cutout: Cutout, instance_id: int, scale: float, x: int, y: int) -> Sample:
    height, width = sample.image.shape[:2]
    size = tuple(max(2, round(side * scale)) for side in cutout.mask.shape[::-1])
    patch = cv2.resize(cutout.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    alpha = cv2.resize(cutout.mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + size[0], width), min(y + size[1], height)
    if x1 <= x0 or y1 <= y0:
        return sample
    patch, alpha = patch[y0 - y : y1 - y, x0 - x : x1 - x], alpha[y0 - y : y1 - y, x0 - x : x1 - x]
    image = sample.image.copy()
    window = image[y0:y1, x0:x1]
    window[:] = np.round(alpha[..., None] * patch + (1 - alpha[..., None]) * window)
    pasted = np.zeros((height, width), np.uint8)
    pasted[y0:y1, x0:x1] = alpha >= 0.5
    if not pasted.any():
        return sample
    return _append_in_front(replace(sample, image=image), pasted, instance_id, cutout.label)


def _append_in_front(sample: Sample, pasted: np.ndarray, instance_id: int, label: int) -> Sample:
    """`sample` with one more instance, before all others; their visible masks and hidden fractions change."""
    count = len(sample)
    masks = sample.masks & ~pasted & 1
    before = sample.masks.sum((1, 2)).astype(np.float32)
    after = masks.sum((1, 2)).astype(np.float32)
    covered = np.divide(before - after, before, out=np.zeros(count, np.float32), where=before > 0)
    in_front = np.zeros((count + 1, count + 1), np.int8)
    in_front[:count, :count] = sample.in_front
    in_front[count, :count] = covered > 0
    visible = 1 - sample.hidden
    return Sample(
        image=sample.image,
        masks=np.concatenate([masks, pasted[None]]),
        labels=np.append(sample.labels, np.int64(label)),
        instance_ids=np.append(sample.instance_ids, np.int64(instance_id)),
        hidden=np.append(1 - visible * (1 - covered), np.float32(0)).astype(np.float32),
        in_front=in_front,
        crowd=np.append(sample.crowd, False),
        occlusion=np.append(np.where(covered > 0, UNKNOWN_OCCLUSION, sample.occlusion), 0).astype(np.int8),
        mask_known=np.append(sample.mask_known, True),
    )
