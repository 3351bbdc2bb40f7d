"""Which code runs mmcv's operators here: compiled mmcv, else torchvision, else plain torch.

Knows nothing about the operators themselves; imports torchvision only to try it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from typing import Literal, get_args

CURE = "pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps onedl-mmcv"
"""Compiles mmcv's operators against the torch that is installed; needs a C++ compiler, and takes a while."""

BackendName = Literal["mmcv", "torchvision", "plain"]


@dataclass(frozen=True)
class OpBackend:
    """The code that answers mmcv's operators, and why it was chosen.

    Attributes:
        name: `mmcv` (its own compiled extension), `torchvision` or `plain` (torch only).
        reason: one line for people.
    """

    name: BackendName
    reason: str

    def __post_init__(self) -> None:
        if self.name not in get_args(BackendName):
            raise ValueError(f"OpBackend.name must be one of {get_args(BackendName)}, found {self.name!r}.")


@cache
def op_backend() -> OpBackend:
    """Choose the backend; the choice holds for the life of the process.

    A compiled mmcv is recognised by its file, not by loading it, so that a broken one raises its own error where it
    is used instead of being replaced silently by something slower.
    """
    if compiled := compiled_extension():
        return OpBackend("mmcv", f"mmcv was installed with its compiled operators ({compiled})")
    problem = torchvision_problem()
    if problem is None:
        return OpBackend("torchvision", "mmcv has no compiled operators; torchvision's work")
    return OpBackend("plain", f"mmcv has no compiled operators, and torchvision cannot stand in ({problem})")


def compiled_extension() -> str | None:
    """Path of mmcv's compiled extension; None where mmcv has none or is not installed."""
    package = importlib.util.find_spec("mmcv")
    if package is None or package.submodule_search_locations is None:
        return None
    spec = PathFinder.find_spec("mmcv._ext", list(package.submodule_search_locations))
    return spec.origin if spec is not None else None


def torchvision_problem() -> str | None:
    """Run torchvision's nms once; None when it works, else what is wrong in one line.

    A torchvision built for another torch fails in many ways (RuntimeError, OSError, ImportError), some only when an
    operator is called, so nothing short of a call tells.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "it is not installed"
    try:
        import torch
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    except Exception as error:
        message = (str(error).splitlines() or [""])[0]
        return f"{type(error).__name__}: {message}"
    return None
