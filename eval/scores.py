"""What a protocol answers: numbers by name, of the whole, of each class and of each video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Number = float | int | None
Numbers = Mapping[str, Number]


@dataclass(frozen=True)
class Scores:
    """Fractions (not percent) and counts, unrounded; None where nothing defines a number.

    Attributes:
        protocol: The protocol's name.
        version: The evaluator and its version that these numbers equal.
        summary: The benchmark's headline numbers.
        classes: By class, then by metric.
        overall: Pooled over classes, where the protocol pools them.
        videos: By video, then class, then metric; empty where the protocol knows no videos.
        by_occlusion: By occlusion level, then metric; empty unless asked for.
        warnings: What was tolerated, one line each.
    """

    protocol: str
    version: str
    summary: Numbers
    classes: Mapping[str, Numbers]
    overall: Numbers = field(default_factory=dict)
    videos: Mapping[str, Mapping[str, Numbers]] = field(default_factory=dict)
    by_occlusion: Mapping[str, Numbers] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The content of scores.json; NaN and infinite numbers, which JSON does not know, are null."""
        document = {
            "protocol": self.protocol,
            "version": self.version,
            "summary": self.summary,
            "classes": self.classes,
            "overall": self.overall,
            "videos": self.videos,
        }
        if self.by_occlusion:
            document["by_occlusion"] = self.by_occlusion
        return _plain(document)


def _plain(value: Any) -> Any:
    """Plain dicts and Python numbers; None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
