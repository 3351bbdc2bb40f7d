"""What is wrong with a submission: every defect counted, the first ones of each kind in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from eval.errors import one_line

SHOWN = 10
"""Defects of one kind that are told in words; a file of a wrong size has as many as it has masks."""


class SubmissionReport:
    """Collects what a check finds.

    Attributes:
        defects: How many of each kind; a submission with none is accepted.
        warnings: What a server takes, but what is probably not meant.
        contents: How many of what the submission holds, such as {"tracks": 12}.
    """

    def __init__(self) -> None:
        self.defects: Counter[str] = Counter()
        self.warnings: list[str] = []
        self.contents: Counter[str] = Counter()
        self._words: defaultdict[str, list[str]] = defaultdict(list)

    def __repr__(self) -> str:
        return f"SubmissionReport({self.defects.total()} defects, {len(self.warnings)} warnings)"

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong."""
        return not self.defects

    def defect(self, kind: str, message: str) -> None:
        """Count a defect.

        Args:
            kind: what is wrong, in a word or two: those of one kind are told together.
            message: found, expected, where, cure.
        """
        self.defects[kind] += 1
        if len(self._words[kind]) < SHOWN:
            self._words[kind].append(one_line(message))

    def warn(self, message: str) -> None:
        """Note what a server would take."""
        if len(self.warnings) < SHOWN:
            self.warnings.append(one_line(message))

    def lines(self) -> Iterator[str]:
        """`wrong length: ...` for each defect that is told, and how many more there are of its kind."""
        for kind, count in self.defects.items():
            for message in self._words[kind]:
                yield f"{kind}: {message}"
            if count > SHOWN:
                yield f"{kind}: and {count - SHOWN} more."
