"""The videos of a dataset shared out among processes, as torchrun starts them. Knows nothing of models and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from vos_occ.structures.errors import InputError

_LONGEST_WAIT = timedelta(days=7)  # for the slowest process; torch would give up after half an hour


class HasLength(Protocol):
    """What can be shared out: something that takes as long as it has frames."""

    @property
    def length(self) -> int: ...


Video = TypeVar("Video", bound=HasLength)


@dataclass(frozen=True)
class Worker:
    """One of the processes of a run.

    Attributes:
        rank: Which of them, from 0.
        count: How many they are.

    Raises:
        InputError: rank is not in 0..count-1.
    """

    rank: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise InputError(f"Expected a rank in 0..{self.count - 1}, found {self.rank}. Start with torchrun.")

    @classmethod
    def from_environment(cls) -> Worker:
        """As torchrun says in RANK and WORLD_SIZE; the only one without torchrun."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that joins the results and talks to the user."""
        return self.rank == 0

    def share(self, videos: Sequence[Video]) -> list[Video]:
        """The videos that this process runs, in the order of the dataset.

        The longest go first, each to the process that has least to do so far, so that all end at about the same time.
        """
        frames = [0] * self.count
        mine = set()
        for index in sorted(range(len(videos)), key=lambda i: (-videos[i].length, i)):
            least = frames.index(min(frames))
            frames[least] += videos[index].length
            if least == self.rank:
                mine.add(index)
        return [video for index, video in enumerate(videos) if index in mine]

    def device(self, asked: str) -> str:
        """The device of this process: with "auto" and several processes, one GPU each."""
        import torch

        if asked != "auto" or self.count == 1 or not torch.cuda.is_available():
            return asked
        return f"cuda:{int(os.environ.get('LOCAL_RANK', self.rank)) % torch.cuda.device_count()}"

    def wait_for_all(self) -> None:
        """Returns when every process has come here."""
        if self.count == 1:
            return
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
        dist.barrier()

    def leave(self) -> None:
        """Ends what `wait_for_all` began; nobody may wait after it."""
        if self.count == 1:
            return
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()
