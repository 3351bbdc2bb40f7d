"""Result files and dataset files, written as they come and checked before they are handed over."""

from __future__ import annotations

from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.jsonl import Header, JsonlVideo, JsonlWriter, read_jsonl
from vos_occ.results.mot import MotWriter
from vos_occ.results.mots_png import MotsPngWriter
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.ytvis import YtvisTracks, merge_shards, shard_path, write_shard, write_ytvis_dataset

__all__ = [
    "Header",
    "JsonlVideo",
    "JsonlWriter",
    "MotWriter",
    "MotsPngWriter",
    "MotsTxtWriter",
    "YtvisTracks",
    "merge_shards",
    "read_jsonl",
    "require_new",
    "shard_path",
    "write_atomically",
    "write_coco_dataset",
    "write_shard",
    "write_ytvis_dataset",
]
