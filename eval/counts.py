"""Counts of a sequence that add up over sequences."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar, cast

Own = TypeVar("Own", bound="Counts")


class Counts:
    """A dataclass whose fields are sums: `sum(per_video, Clear())` is that of all videos."""

    def __add__(self: Own, other: Own) -> Own:
        names = [field.name for field in fields(cast(Any, self))]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})
