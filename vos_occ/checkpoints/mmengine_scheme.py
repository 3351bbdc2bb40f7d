"""Makes mmengine load weights through `vos_occ.checkpoints`: init_cfg, load_from, resume, and every URL scheme.

mmengine 0.10 tries torch's restricted unpickler with `getattr` allowed, unpickles without restriction when that fails,
and always does so for downloads. `install` replaces the loader of each of its schemes, so none of this is reached.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch

import vos_occ.compat  # noqa: F401  (before any mm* import)

from mmengine.dist import get_dist_info  # isort: skip
from mmengine.fileio import get_file_backend  # isort: skip
from mmengine.logging import HistoryBuffer  # isort: skip
from mmengine.runner import checkpoint as mmengine_checkpoint  # isort: skip
from mmengine.runner.checkpoint import CheckpointLoader  # isort: skip
from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.checkpoints.torch_files import HistoryBufferState, MapLocation, read_torch_file, trust_checkpoints
from vos_occ.structures.errors import CheckpointError

__all__ = ["install", "trust_checkpoints"]

logger = logging.getLogger(__name__)


def install() -> None:
    """Put our loaders in place of mmengine's. Calling it again changes nothing."""
    for prefixes, loader in _LOADERS.items():
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def load_from_local(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """A file on disk, as mmengine wants it: {"state_dict", "meta", ...} or whatever the torch file holds."""
    path = Path(filename).expanduser()
    if not path.is_file():
        raise CheckpointError(f"No checkpoint at {filename}.")
    if path.suffix == ".safetensors":
        ours = load_checkpoint(path, map_location=map_location)
        meta = {"cfg": ours.config_text, "dataset_meta": {"classes": ours.classes}, **ours.metadata}
        return {"state_dict": ours.state_dict, "meta": meta}
    content = read_torch_file(path, map_location=map_location)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no weights: expected a dict, found {type(content).__name__}.")
    return _with_history(content)


def load_from_http(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """A download, kept in torch hub's cache. Rank 0 downloads, the others wait for it."""
    rank, world_size = get_dist_info()
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    cached = folder / Path(urlparse(filename).path).name
    if rank == 0 and not cached.exists():
        folder.mkdir(parents=True, exist_ok=True)
        logger.info("Downloading %s to %s", filename, cached)
        try:
            torch.hub.download_url_to_file(filename, str(cached), progress=sys.stderr.isatty())
        except (URLError, OSError) as error:
            raise CheckpointError(
                f"{filename} could not be downloaded ({error}). Get it by hand into {cached}."
            ) from error
    if world_size > 1:
        torch.distributed.barrier()
    return load_from_local(str(cached), map_location)


def load_from_package(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """vos_occ://person: the weights that come with this package."""
    path = Path(str(resources.files("vos_occ"))) / "weights" / f"{filename.split('://', 1)[1]}.safetensors"
    return load_from_local(str(path), map_location)


def load_from_torchvision(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """torchvision://resnet50. The list that mmengine carries comes first, since it needs no torchvision."""
    name = filename.split("://", 1)[1]
    known = mmengine_checkpoint.load_file(str(_HUB / "torchvision_0.12.json"))
    if name not in known:
        known = mmengine_checkpoint.get_torchvision_models()
    return load_from_http(_lookup(known, name, filename), map_location)


def load_from_openmmlab(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """open-mmlab://..., by mmengine's list or the user's own in MMENGINE_HOME."""
    name = filename.split("://", 1)[1]
    name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    target = _lookup(mmengine_checkpoint.get_external_models(), name, filename)
    if target.startswith(("http://", "https://")):
        return load_from_http(target, map_location)
    return load_from_local(str(Path(mmengine_checkpoint._get_mmengine_home()) / target), map_location)


def load_from_mmcls(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """mmcls://...: the backbone of a classifier."""
    url = _lookup(mmengine_checkpoint.get_mmcls_models(), filename.split("://", 1)[1], filename)
    return mmengine_checkpoint._process_mmcls_checkpoint(load_from_http(url, map_location))


def load_from_storage(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """s3:// and petrel://, through mmengine's file backends."""
    content = get_file_backend(filename, backend_args={"backend": "petrel"}).get(filename)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(filename).name
        path.write_bytes(content)
        return load_from_local(str(path), map_location)


def load_from_pavi(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """pavi:// is a service inside one company; nothing here can test it."""
    raise CheckpointError(f"{filename}: pavi:// is not supported. Download the file and pass its path.")


_HUB = Path(mmengine_checkpoint.mmengine.__path__[0]) / "hub"

_LOADERS = {
    ("",): load_from_local,
    ("http://", "https://"): load_from_http,
    ("vos_occ://",): load_from_package,
    ("torchvision://", "modelzoo://"): load_from_torchvision,
    ("open-mmlab://", "openmmlab://"): load_from_openmmlab,
    ("mmcls://",): load_from_mmcls,
    (r"(\S+\:)?s3://", r"(\S+\:)?petrel://"): load_from_storage,
    ("pavi://",): load_from_pavi,
}


def _lookup(known: dict[str, str], name: str, filename: str) -> str:
    if name not in known:
        raise CheckpointError(f"{filename} is not among the {len(known)} models known by that scheme.")
    return known[name]


def _with_history(content: dict[str, Any]) -> dict[str, Any]:
    """mmengine's own log buffers for the stand-ins, as `Runner.resume` expects them."""
    scalars = content.get("message_hub", {}).get("log_scalars", {})
    for name, value in scalars.items():
        if isinstance(value, HistoryBufferState):
            scalars[name] = HistoryBuffer(value.log_history, value.count_history, value.max_length)
    return content
