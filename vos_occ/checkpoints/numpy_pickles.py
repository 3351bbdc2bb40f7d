"""Reads pickles of numpy arrays (.pkl: the model zoos of Detectron and detectron2) without running code from the file.

A pickle may call any function. Here it may call a few, which make arrays, and nothing else that it names exists.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vos_occ.checkpoints.torch_files import trusts_checkpoints
from vos_occ.structures.errors import CheckpointError


def read_numpy_pickle(path: Path, *, trust: bool = False) -> Any:
    """What was pickled into a .pkl file, by Python 2 or 3: arrays, numbers and text in dicts and lists.

    Args:
        path: An existing file.
        trust: Unpickle without restriction. Also on within `trust_checkpoints()`.

    Raises:
        CheckpointError: The file is no pickle, or holds anything else.
    """
    unpickler = pickle.Unpickler if trusts_checkpoints(trust, path) else _ArrayUnpickler
    try:
        with open(path, "rb") as file:
            return unpickler(file, encoding="latin1").load()  # Python 2 wrote the bytes of arrays as text
    except _Refused as error:
        raise CheckpointError(
            f"{path} was not loaded: it holds the object {error}, which could run code. If you know where the file "
            "comes from, pass --trust-checkpoint (trust=True)."
        ) from error
    except Exception as error:  # a damaged pickle fails in any of the ways in which its few functions fail
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise CheckpointError(f"{path} cannot be read as a pickle of arrays ({reason}).") from error


class _Refused(pickle.UnpicklingError):
    """The name of what is not on the list."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise _Refused(f"{module}.{name}")
        return found


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into a pickle that Python 2 can read. No codec but the one that it uses."""
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


_CORE = np._core if hasattr(np, "_core") else np.core
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _encode,
    **{
        (f"{package}.{module}", name): getattr(getattr(_CORE, module), name)
        for package in ("numpy.core", "numpy._core")  # renamed in numpy 2.0
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    },
}
