"""What MOTS formats ask of a frame: every pixel has one owner; and of MOTS PNG and text: every track has one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vos_occ.structures import rle
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult

INSTANCES_PER_CLASS = 1000  # an object's id is class id * 1000 + instance number
MAX_OBJECT_ID = int(np.iinfo(np.uint16).max)  # in a 16-bit image
IGNORE_CLASS = 10  # of regions that are not scored, all of them object 10000
MAX_CLASS_ID = MAX_OBJECT_ID // INSTANCES_PER_CLASS - 1
FIRST_FURTHER_ID = 20_000  # above those of classes 1, 2 and 10, all that the benchmarks have


def pixel_owners(result: FrameResult) -> NDArray[np.int32]:
    """(height, width), 1 + index of the object that each pixel goes to, 0 for none; the highest score wins."""
    owners = np.zeros((result.height, result.width), np.int32)
    for i in np.argsort(result.scores, kind="stable"):
        crop, x0, y0 = rle.decode_box(result.masks[i])
        h, w = crop.shape
        owners[y0 : y0 + h, x0 : x0 + w][crop] = i + 1
    return owners


def disjoint_masks(result: FrameResult) -> list[rle.Rle]:
    """The masks without the pixels that an object of higher score covers too."""
    owners = pixel_owners(result)
    masks = []
    for i, mask in enumerate(result.masks):
        crop, x0, y0 = rle.decode_box(mask)
        h, w = crop.shape
        own = owners[y0 : y0 + h, x0 : x0 + w] == i + 1
        whole = own.sum() == crop.sum()
        masks.append(mask if whole else rle.encode_box(own, x0, y0, result.height, result.width))
    return masks


def ignore_region(ignored: rle.Rle, result: FrameResult) -> NDArray[np.bool_]:
    """(height, width), where a region to be ignored is no object's."""
    return rle.decode(ignored) & (pixel_owners(result) == 0)


class MotsIds:
    """The ids of a video's tracks. A track keeps the class of its first frame: another would read as a new object.

    Args:
        name: of the format, for errors.
        class_ids: the class id of each label, 1..64; None takes label + 1.
    """

    def __init__(self, name: str, class_ids: Sequence[int] | None) -> None:
        self._name = name
        self._class_ids = None if class_ids is None else list(class_ids)
        self._class_of_track: dict[int, int] = {}

    def of(self, result: FrameResult) -> list[tuple[int, int]]:
        """(class id, object id) of each object.

        Raises:
            InputError: if a track id or class id does not fit.
        """
        return [self._of(*pair) for pair in zip(result.track_ids.tolist(), result.labels.tolist(), strict=True)]

    def _of(self, track_id: int, label: int) -> tuple[int, int]:
        class_id = self._class_of_track.setdefault(track_id, self._class_id(label))
        return class_id, self._object_id(track_id, class_id)

    def _object_id(self, track_id: int, class_id: int) -> int:
        if track_id >= INSTANCES_PER_CLASS:
            raise InputError(
                f"{self._name} holds instance numbers up to {INSTANCES_PER_CLASS - 1}, found track id {track_id}. "
                "Split the video, or use the JSONL output."
            )
        return class_id * INSTANCES_PER_CLASS + track_id

    def _class_id(self, label: int) -> int:
        if self._class_ids is not None and label >= len(self._class_ids):
            raise InputError(f"Label {label} has no class id, {len(self._class_ids)} are given. Give one per class.")
        class_id = label + 1 if self._class_ids is None else self._class_ids[label]
        if not 1 <= class_id <= MAX_CLASS_ID:
            raise InputError(
                f"{self._name} holds class ids 1 to {MAX_CLASS_ID}, found {class_id}. Choose fewer classes with "
                "--classes."
            )
        return class_id


class AppearanceIds(MotsIds):
    """Ids of the tracks of a video of any length: the instances of a class are numbered from 1 as they appear.

    A long video has more tracks than the 999 that the convention has room for in a class, and those of all classes
    count up to one number. What comes after gets an id of no class of the benchmarks, from 20000 on: evaluators read
    the class from its own column (TrackEval 1.3.0 and mots_tools f5689df take any whole number as an id).
    """

    def __init__(self, name: str, class_ids: Sequence[int] | None) -> None:
        super().__init__(name, class_ids)
        self._ids: dict[int, int] = {}
        self._found: Counter[int] = Counter()
        self._further = FIRST_FURTHER_ID

    def _object_id(self, track_id: int, class_id: int) -> int:
        if track_id not in self._ids:
            self._ids[track_id] = self._next(class_id)
        return self._ids[track_id]

    def _next(self, class_id: int) -> int:
        self._found[class_id] += 1
        if self._found[class_id] < INSTANCES_PER_CLASS:
            return class_id * INSTANCES_PER_CLASS + self._found[class_id]
        if self._further > MAX_OBJECT_ID:
            used_up = f"holds ids up to {MAX_OBJECT_ID}, which the tracks of this video have used up"
            raise InputError(f"{self._name} {used_up}. Keep fewer of them with a higher --score-thr.")
        self._further += 1
        return self._further - 1
