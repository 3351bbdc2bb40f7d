"""Stands in for `mmcv._ext`, the compiled extension behind `mmcv.ops`, where mmcv was installed without it.

Appended to `sys.meta_path`, the finder is asked only when nothing else knows `mmcv._ext`: a compiled mmcv wins by
itself. It answers with a real spec, because mmengine looks the module up with `find_spec`.

Operators are answered here, below `mmcv.ops`, with the signatures of mmcv's C++ bindings (`mmcv/ops/csrc/pytorch/
pybind.cpp`): mmdet calls some of them as functions and some as modules, and both end here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from vos_occ.compat.backend import op_backend
from vos_occ.compat.errors import MissingOperatorError

EXTENSION = "mmcv._ext"


class ExtensionFinder(MetaPathFinder, Loader):
    """Finds and fills the stand-in for `mmcv._ext`, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for `mmcv._ext` only."""
        return ModuleSpec(fullname, self, origin="vos_occ.compat") if fullname == EXTENSION else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the chosen backend's operators, and an explanation for every other one, into the module."""
        for operator, function in _answered_operators().items():
            setattr(module, operator, function)
        module.__getattr__ = _explain  # type: ignore[method-assign]


def install() -> None:
    """Append the finder to `sys.meta_path`, once."""
    if not any(isinstance(finder, ExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.append(ExtensionFinder())


def _answered_operators() -> dict[str, Callable[..., Any]]:
    """The operators that work, by their names in the extension. Imports torch."""
    backend = op_backend()
    ops = import_module(f"vos_occ.compat.{'torchvision_ops' if backend.name == 'torchvision' else 'plain_ops'}")
    return {
        **{operator: getattr(ops, operator) for operator in ops.__all__},
        "get_compiler_version": lambda: f"none (operators by {backend.name})",
        "get_compiling_cuda_version": lambda: "not available",
    }


def _explain(operator: str) -> Callable[..., NoReturn]:
    """Stand in for an operator that nobody answers: importable, as `mmcv.ops` asks, and clear when called."""
    if operator.startswith("__"):
        raise AttributeError(f"module {EXTENSION!r} has no attribute {operator!r}")

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise MissingOperatorError(operator)

    missing.__name__ = operator
    return missing
