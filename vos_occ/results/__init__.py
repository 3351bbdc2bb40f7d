"""Result files and dataset files, written as they come and checked before they are handed over."""

from __future__ import annotations

from vos_occ.results.bdd_bitmask import BddBitmaskWriter
from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.csv import CsvWriter
from vos_occ.results.cvat_mots import CvatMotsWriter
from vos_occ.results.jsonl import Header, JsonlVideo, JsonlWriter, read_jsonl
from vos_occ.results.masks_npz import MasksNpzWriter
from vos_occ.results.masks_png import IdPngWriter, TrackPngWriter
from vos_occ.results.mot import MotWriter
from vos_occ.results.mots_png import MotsPngWriter
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.scalabel import ScalabelWriter, join_scalabel
from vos_occ.results.supervision import to_supervision
from vos_occ.results.ytvis import YtvisTracks, merge_shards, shard_path, write_shard, write_ytvis_dataset

__all__ = [
    "BddBitmaskWriter",
    "CsvWriter",
    "CvatMotsWriter",
    "Header",
    "IdPngWriter",
    "JsonlVideo",
    "JsonlWriter",
    "MasksNpzWriter",
    "MotWriter",
    "MotsPngWriter",
    "MotsTxtWriter",
    "ScalabelWriter",
    "TrackPngWriter",
    "YtvisTracks",
    "join_scalabel",
    "merge_shards",
    "read_jsonl",
    "require_new",
    "shard_path",
    "to_supervision",
    "write_atomically",
    "write_coco_dataset",
    "write_shard",
    "write_ytvis_dataset",
]
