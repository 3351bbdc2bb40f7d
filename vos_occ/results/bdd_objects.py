"""What BDD100K's formats, bitmasks and Scalabel, ask of a video: categories, flags, and a name for every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from eval.protocols.bdd100k_rules import VOCABULARY
from eval.readers.bdd_bitmask import CROWD, IGNORED, OCCLUDED, TRUNCATED
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult

Flags = Mapping[str, NDArray[np.bool_]]
"""What ground truth says of each object, (N,) by name; those that are left out are off."""

FLAG_BITS = {"ignored": IGNORED, "crowd": CROWD, "occluded": OCCLUDED, "truncated": TRUNCATED}


class BddCategories:
    """BDD100K's categories of a model's classes or a data set's.

    Args:
        classes: names by label. Other names of BDD100K's for its own (person, motor, bike, van, caravan) are taken,
            and those of its distractors, which count as their class and as to be ignored.

    Raises:
        InputError: BDD100K has no such category.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._names = [VOCABULARY.renamed.get(name, name) for name in classes]
        kinds = VOCABULARY.kinds()
        if unknown := [name for name in classes if name not in kinds]:
            known = ", ".join((*VOCABULARY.classes, *VOCABULARY.ignored))
            raise InputError(f"BDD100K has no category '{unknown[0]}'; it has {known}. Rename or leave out the class.")
        self._kinds = [kinds[name] for name in classes]

    def name(self, label: int) -> str:
        """As Scalabel writes it."""
        return self._names[self._known(label)]

    def number(self, label: int) -> int:
        """1 to 8, as bitmasks hold it."""
        return self._kinds[self._known(label)][0] + 1

    def is_ignored(self, label: int) -> bool:
        """Whether it stands for a distractor."""
        return self._kinds[self._known(label)][1]

    def _known(self, label: int) -> int:
        if label >= len(self._kinds):
            raise InputError(f"Label {label} has no category, {len(self._kinds)} are given. Give one per class.")
        return label


class FrameNames:
    """Names of a video's frames, of which the formats want every one, also those without objects.

    Args:
        video: its name.
        names: of its pictures, by frame index, with or without folders; None: `VIDEO-0000001.jpg` and so on for as many
            as there come.
    """

    def __init__(self, video: str, names: Sequence[str] | None) -> None:
        self._video = video
        self._names = None if names is None else [PurePosixPath(name).name for name in names]
        self._next = 0

    def advance(self, frame_index: int) -> str:
        """The name of the next frame.

        Raises:
            InputError: there is no such frame.
            ValueError: it is another that comes next.
        """
        if frame_index != self._next:
            found = f"found frame {frame_index} where {self._next} comes next"
            raise ValueError(f"BDD100K wants every frame of '{self._video}' in order, {found}; write empty ones too.")
        if self._names is not None and frame_index >= len(self._names):
            found = f"found frame {frame_index} of {len(self._names)} (from 0)"
            raise InputError(f"'{self._video}' is longer than its list of frames: {found}. Give the names of all.")
        self._next += 1
        return f"{self._video}-{self._next:07d}.jpg" if self._names is None else self._names[frame_index]

    def require_all(self) -> None:
        """Complain of a video that broke off.

        Raises:
            InputError: frames are missing.
        """
        if self._names is not None and self._next < len(self._names):
            found = f"has {self._next} of {len(self._names)} frames"
            raise InputError(f"'{self._video}' {found}, and BDD100K wants every one. Run the video again.")


class InstanceIds:
    """The ids of a video's tracks: their own, or numbers from 1 in the order in which they appear.

    Args:
        renumber: which. Tracks that were never confirmed use up numbers of their own, and a long video more than the
            65535 that a bitmask holds; the numbers of those that appear are fewer.
    """

    def __init__(self, renumber: bool) -> None:
        self._numbers: dict[int, int] | None = {} if renumber else None

    def of(self, result: FrameResult) -> NDArray[np.int64]:
        """(N,) id of each object, 1 or more."""
        if self._numbers is None:
            return result.track_ids
        for track_id in result.track_ids.tolist():
            self._numbers.setdefault(track_id, len(self._numbers) + 1)
        return np.array([self._numbers[track_id] for track_id in result.track_ids.tolist()], np.int64)


def flags_of(flags: Flags | None, result: FrameResult) -> dict[str, NDArray[np.bool_]]:
    """All four flags of a frame's objects, (N,) each.

    Raises:
        ValueError: one has another length or name.
    """
    found = dict.fromkeys(FLAG_BITS, np.zeros(len(result), bool)) | dict(flags or {})
    if found.keys() != FLAG_BITS.keys() or any(values.shape != (len(result),) for values in found.values()):
        raise ValueError(
            f"Flags are (N,) and named {', '.join(FLAG_BITS)}; got {list(found)} for {len(result)} objects."
        )
    return found
