"""Reads what `torch.save` wrote, without running code from the file.

A torch file is a pickle, and a pickle may call any function. torch's restricted unpickler calls only what is on a list;
this module holds that list: numpy's numbers and arrays, argparse's Namespace (DETR's checkpoints), and stand-ins for
the two names that mmengine's training checkpoints need beyond them. Knows nothing about models or mmengine.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vos_occ.structures.errors import CheckpointError

logger = logging.getLogger(__name__)

MapLocation = str | torch.device | Callable | dict | None

MAGIC = (b"PK", b"\x80")  # zip; a bare pickle of protocol 2 or later, as before torch 1.6

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trust_checkpoints(enabled: bool = True) -> Iterator[None]:
    """Within this block torch files may run code as they are loaded, mmengine's loading included.

    Only for files whose origin you know; this is what `--trust-checkpoint` does.
    """
    token = _trusted.set(enabled)
    try:
        yield
    finally:
        _trusted.reset(token)


def trusts_checkpoints(trust: bool, path: Path) -> bool:
    """Whether a file may run code: `trust`, or within `trust_checkpoints()`. Says so in the log if it may."""
    trusted = trust or _trusted.get()
    if trusted:
        logger.warning("Loading %s without restrictions: code in this file is run.", path)
    return trusted


def read_torch_file(path: Path, *, map_location: MapLocation = "cpu", trust: bool = False) -> Any:
    """What was saved in a .pth or .pt file.

    Args:
        path: An existing file.
        map_location: As for `torch.load`.
        trust: Unpickle without restriction. Also on within `trust_checkpoints()`.

    Raises:
        CheckpointError: The file is no torch file, or holds objects that are not on the list.
    """
    with open(path, "rb") as file:
        start = file.read(24)
    if not start.startswith(MAGIC):
        raise CheckpointError(f"{path} is not a torch file: it begins with {start!r}. Is the download complete?")
    trusted = trusts_checkpoints(trust, path)
    if not trusted and tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise CheckpointError(
            f"torch {torch.__version__} cannot read {path} safely (CVE-2025-32434). Install torch 2.6 or newer, or "
            "pass --trust-checkpoint if you know where the file comes from."
        )
    try:
        with torch.serialization.safe_globals(_allowed_globals()) if not trusted else nullcontext():
            return torch.load(path, map_location=map_location, weights_only=not trusted)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_unreadable(path, error) if trusted else _refusal(path, error)) from error
    except Exception as error:  # a damaged file fails in any of the many ways in which zip and pickle readers fail
        raise CheckpointError(_unreadable(path, error)) from error


class HistoryBufferState:
    """Inert stand-in for mmengine's HistoryBuffer (a logged value over time): its numbers, none of its methods."""

    def __init__(self) -> None:
        self.log_history = np.zeros(0)
        self.count_history = np.zeros(0)
        self.max_length = 1_000_000

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.log_history = np.asarray(state["_log_history"])
        self.count_history = np.asarray(state["_count_history"])
        self.max_length = int(state.get("max_length", 1_000_000))


def _statistics_method(owner: object, name: str) -> None:
    """Stand-in for `getattr`, by which HistoryBuffer pickles its methods. It returns nothing that could be called."""
    if owner is not HistoryBufferState:
        raise pickle.UnpicklingError(f"Unsupported operand: getattr of {name!r}")


def _allowed_globals() -> list[Any]:
    """(object, name in the pickle) pairs. numpy renamed its core in 2.0; files carry either name."""
    core = np._core if hasattr(np, "_core") else np.core
    allowed: list[Any] = [np.ndarray, np.dtype, argparse.Namespace]
    allowed += [type(np.dtype(code)) for code in "?bhilqBHILQefdU"]
    for name in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed.append((core.multiarray._reconstruct, f"{name}._reconstruct"))
        allowed.append((core.multiarray.scalar, f"{name}.scalar"))
    allowed.append((HistoryBufferState, "mmengine.logging.history_buffer.HistoryBuffer"))
    allowed.append((_statistics_method, "builtins.getattr"))
    return allowed


def _refusal(path: Path, error: pickle.UnpicklingError) -> str:
    named = re.search(r"GLOBAL (\S+)", str(error))
    reason = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    found = (
        f"the object {named[1]}"
        if named
        else f"more than tensors and numbers ({reason[1] if reason else _first_line(error)})"
    )
    return (
        f"{path} was not loaded: it holds {found}, which could run code. If you know where the file comes from, pass "
        "--trust-checkpoint (trust=True)."
    )


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} cannot be read as a torch file ({_first_line(error)})."


def _first_line(error: Exception) -> str:
    """The first sentence of a message; torch goes on for a paragraph."""
    return (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
