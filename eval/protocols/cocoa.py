"""COCOA: amodal masks without classes, of things and stuff, scored as proposals.

Results are COCO's list; categories are not looked at. amodalAPI (Python 2) crashes on an image without results and
drops results of other images; here nothing was found in the one, and the other is refused.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from eval.amodal_ap import by_kind, proposal_scores
from eval.errors import SchemaError
from eval.image_ap import ImageObject, image_groups
from eval.protocols.options import choice
from eval.protocols.protocol import Column, Job, Protocol, Request
from eval.readers.amodal_results import AmodalResult, Extent, read_amodal_results
from eval.readers.cocoa import REGION, cocoa_dataset
from eval.readers.record import load_object
from eval.rle import Rle
from eval.scores import Scores


@dataclass
class CocoaJob:
    """Average recall of masks without classes, of all images at once."""

    request: Request
    truth: Extent
    found: Literal["segmentation", "amodal"]
    limit: int
    kind: str
    units: Sequence[str] = ("all images",)

    def score(self, index: int) -> Scores:
        """The whole answer."""
        dataset = cocoa_dataset(load_object(self.request.gt))
        results = read_amodal_results(self.request.pred, dataset, classes="unread")
        truth = [
            ImageObject(
                image_id=thing.image_id,
                category_id=thing.category_id,
                mask=thing.amodal if self.truth == "amodal" else thing.visible,
                ignored=thing.is_stuff,
                hidden=thing.occlude_rate,
            )
            for thing in dataset.objects
        ]
        found = [
            ImageObject(image_id=r.image_id, category_id=REGION.id, mask=self._mask(r), score=cast(float, r.score))
            for r in results
        ]
        limits = tuple(limit for limit in (1, 10, 100, 1000) if limit <= self.limit)
        groups = by_kind(image_groups(truth, found, limit=self.limit))
        kinds = {kind: proposal_scores(members, limits) for kind, members in groups.items()}
        warnings = () if results else (f"{self.request.pred.name} has no results.",)
        return Scores(COCOA.name, COCOA.version, kinds[self.kind], kinds, warnings=(*dataset.notes, *warnings))

    def combine(self, partials: Sequence[Any]) -> Scores:
        """The one partial result."""
        return cast(Scores, partials[0])

    def _mask(self, result: AmodalResult) -> Rle:
        mask = result.amodal if self.found == "amodal" else result.segmentation
        if mask is None:
            field = "amodal_segmentation" if self.found == "amodal" else "segmentation"
            raise SchemaError(
                f"{result.where}.{field} is missing ({self.request.pred.name}). Add it, or choose the other with dt."
            )
        return mask


def _open(request: Request) -> Job:
    return CocoaJob(
        request,
        truth=choice(request, "gt", typing.get_args(Extent)),
        found=choice(request, "dt", ("segmentation", "amodal")),
        limit=int(choice(request, "max_detections", ("1000", "100"))),
        kind=choice(request, "regions", ("things", "stuff", "all")),
    )


COCOA = Protocol(
    name="cocoa",
    version="amodalAPI 543c72c",
    open=_open,
    columns=tuple(Column(name) for name in ("AR10", "AR100", "AR1000", "AR_none", "AR_partial", "AR_heavy", "AP")),
    options={
        "gt": "amodal (default) or visible: which masks of the regions are to be found",
        "dt": "segmentation (default) or amodal: which masks of the results are scored",
        "max_detections": "1000 (default) or 100 masks per image",
        "regions": "things (default), stuff or all: of which the summary is",
    },
)
