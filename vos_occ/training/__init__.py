"""Training: configs read and checked, runs that can be stopped and resumed. The models and data sets are elsewhere."""

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from vos_occ.training.config import first_sentence, parse_options, read_config, require_classes, require_trainable
from vos_occ.training.run import build_runner, require_fresh, train

__all__ = [
    "build_runner",
    "first_sentence",
    "parse_options",
    "read_config",
    "require_classes",
    "require_fresh",
    "require_trainable",
    "train",
]
