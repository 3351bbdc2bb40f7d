"""The files that a run wrote for one video, held so that another process can have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vos_occ.inference.benchmark import jsonl_path
from vos_occ.results.jsonl import JsonlVideo, read_jsonl
from vos_occ.results.output import write_atomically
from vos_occ.results.ytvis import shard_path


@dataclass(frozen=True)
class WrittenVideo:
    """What `run_video` leaves behind.

    Attributes:
        id: the dataset's id of the video.
        jsonl: content of its JSONL.
        shard: content of its part of results.json.
    """

    id: int
    jsonl: bytes
    shard: bytes

    @classmethod
    def read(cls, video_id: int, folder: Path) -> WrittenVideo:
        """The files of a video in the folder of a run."""
        jsonl, shard = jsonl_path(folder, video_id), shard_path(folder / "shards", video_id)
        return cls(video_id, jsonl.read_bytes(), shard.read_bytes())

    def write(self, folder: Path) -> JsonlVideo:
        """Puts the files where `run_video` would, over those of an earlier validation; answers with what they say."""
        write_atomically(jsonl_path(folder, self.id), self.jsonl)
        write_atomically(shard_path(folder / "shards", self.id), self.shard)
        return read_jsonl(jsonl_path(folder, self.id))
