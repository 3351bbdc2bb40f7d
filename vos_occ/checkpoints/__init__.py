"""Weights on disk: ours as safetensors, everyone else's as torch files that cannot run code.

Importing this package imports no mm* package; `vos_occ.checkpoints.mmengine_scheme` does, to make mmengine load
through here as well.
"""

from __future__ import annotations

from vos_occ.checkpoints.files import Checkpoint, load_checkpoint, load_into, save_checkpoint
from vos_occ.checkpoints.key_diff import KeyDiff
from vos_occ.checkpoints.torch_files import trust_checkpoints

__all__ = ["Checkpoint", "KeyDiff", "load_checkpoint", "load_into", "save_checkpoint", "trust_checkpoints"]
