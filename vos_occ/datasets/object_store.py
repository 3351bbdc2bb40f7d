"""The annotated objects of a data set in a few flat arrays, so that one frame is read without touching the others.

A data set of 200,000 masks is one array of their run lengths as bytes and one number per mask for everything else. It
goes to a worker as a handful of buffers; forked workers share its pages, as no reference counts lie in them.
Knows nothing of files, images or videos.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.readers.ytvis_tubes import OCCLUSION_LABELS
from vos_occ.datasets.annotations import order_from_lists
from vos_occ.datasets.sample import UNKNOWN_OCCLUSION
from vos_occ.structures import rle


@dataclass(frozen=True)
class FrameObjects:
    """What is annotated in one frame: fields of a `Sample`, of which they have the shapes."""

    masks: NDArray[np.uint8]
    labels: NDArray[np.int64]
    instance_ids: NDArray[np.int64]
    hidden: NDArray[np.float32]
    in_front: NDArray[np.int8]
    crowd: NDArray[np.bool_]
    occlusion: NDArray[np.int8]


class ObjectStore:
    """Objects by frame, ready to be decoded. `StoreBuilder` makes it.

    Args:
        owners: (K, 3) int64: id, label and crowd flag of each annotation.
        frame_starts: (F + 1,) rows of the objects where each frame begins.
        owner: (M,) the row of `owners` that each object belongs to.
        hidden: (M,) float32, nan where unknown.
        occlusion: (M,) int8, as `Sample.occlusion`.
        spans: (M, 2) where in `codes` the object's run lengths begin and end.
        codes: bytes of COCO's compressed run lengths of all objects.
        behind: (M, 2) where in `behind_ids` the ids of those that it hides begin and end; -1 where nothing is known.
        behind_ids: the ids.
    """

    def __init__(
        self,
        owners: NDArray[np.int64],
        frame_starts: NDArray[np.int64],
        owner: NDArray[np.int32],
        hidden: NDArray[np.float32],
        occlusion: NDArray[np.int8],
        spans: NDArray[np.int64],
        codes: NDArray[np.uint8],
        behind: NDArray[np.int64],
        behind_ids: NDArray[np.int64],
    ) -> None:
        self._owners, self._frame_starts, self._owner = owners, frame_starts, owner
        self._hidden, self._occlusion = hidden, occlusion
        self._spans, self._codes = spans, codes
        self._behind, self._behind_ids = behind, behind_ids

    def __len__(self) -> int:
        return len(self._owner)

    def __repr__(self) -> str:
        frames, size = len(self._frame_starts) - 1, len(self._codes) / 2**20
        return f"ObjectStore({len(self)} masks of {len(self._owners)} annotations in {frames} frames, {size:.1f} MiB)"

    def usable(self) -> NDArray[np.bool_]:
        """(F,) whether a frame shows an object that is no crowd."""
        frames = np.repeat(np.arange(len(self._frame_starts) - 1), np.diff(self._frame_starts))
        found = np.zeros(len(self._frame_starts) - 1, bool)
        found[frames[self._owners[self._owner, 2] == 0]] = True
        return found

    def objects(self, frame: int, height: int, width: int) -> FrameObjects:
        """Decode the objects of one frame, in the order in which they were added.

        Args:
            frame: its number.
            height, width: of the picture, in pixels.
        """
        rows = slice(*self._frame_starts[frame : frame + 2].tolist())
        owners = self._owners[self._owner[rows]]
        masks = np.zeros((len(owners), height, width), np.uint8)
        for mask, (start, end) in zip(masks, self._spans[rows].tolist(), strict=True):
            counts = self._codes[start:end].tobytes().decode("ascii")
            crop, x0, y0 = rle.decode_box({"size": [height, width], "counts": counts})  # costs the box, not the frame
            mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
        ids = owners[:, 0]
        behind = [None if a < 0 else self._behind_ids[a:b].tolist() for a, b in self._behind[rows].tolist()]
        return FrameObjects(
            masks=masks,
            labels=owners[:, 1].copy(),
            instance_ids=ids.copy(),
            hidden=self._hidden[rows].copy(),
            in_front=order_from_lists(ids.tolist(), behind),
            crowd=owners[:, 2].astype(bool),
            occlusion=self._occlusion[rows].copy(),
        )


class StoreBuilder:
    """Collects annotations in any order; holds run lengths as bytes, never as objects of Python."""

    def __init__(self) -> None:
        self._owners, self._frames, self._owner = array("q"), array("q"), array("i")
        self._hidden, self._occlusion = array("f"), array("b")
        self._codes, self._ends = bytearray(), array("q")
        self._behind, self._behind_ids = array("q"), array("q")

    def add_owner(self, annotation_id: int, label: int, crowd: bool) -> None:
        """Begin an annotation; the objects that are added next are its own."""
        self._owners.extend((annotation_id, label, int(crowd)))

    def add(
        self,
        frame: int,
        counts: str,
        hidden: float | None = None,
        occlusion: str | None = None,
        behind: Sequence[int] | None = None,
    ) -> None:
        """Add the object that the current annotation shows in a frame.

        Args:
            frame: its number among all frames of the data set.
            counts: compressed run lengths of its mask.
            hidden: covered fraction; None: unknown.
            occlusion: OVIS' label; None: unknown.
            behind: ids of the annotations that it hides part of; None: unknown.
        """
        self._frames.append(frame)
        self._owner.append(len(self._owners) // 3 - 1)
        self._hidden.append(np.nan if hidden is None else hidden)
        self._occlusion.append(UNKNOWN_OCCLUSION if occlusion is None else OCCLUSION_LABELS.index(occlusion))
        self._codes += counts.encode("ascii")
        self._ends.append(len(self._codes))
        start = len(self._behind_ids)
        self._behind_ids.extend(behind or ())
        self._behind.extend((-1, -1) if behind is None else (start, len(self._behind_ids)))

    def build(self, num_frames: int) -> ObjectStore:
        """The store; frames without objects are among them."""
        frames = np.array(self._frames, np.int64)
        order = np.argsort(frames, kind="stable")
        ends = np.array(self._ends, np.int64)
        spans = np.stack([np.append(0, ends[:-1])[: len(ends)], ends], axis=1)
        return ObjectStore(
            owners=np.array(self._owners, np.int64).reshape(-1, 3),
            frame_starts=np.searchsorted(frames[order], np.arange(num_frames + 1)),
            owner=np.array(self._owner, np.int32)[order],
            hidden=np.array(self._hidden, np.float32)[order],
            occlusion=np.array(self._occlusion, np.int8)[order],
            spans=spans[order],
            codes=np.frombuffer(self._codes, np.uint8),
            behind=np.array(self._behind, np.int64).reshape(-1, 2)[order],
            behind_ids=np.array(self._behind_ids, np.int64),
        )
