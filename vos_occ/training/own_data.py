"""A config's `own_data`: one entry says where images and annotations lie; datasets, heads and scoring follow from it.

The number of classes would else stand at six places of a config, which a command line does not keep alike.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from eval.readers.cocoa import REGION
from eval.readers.record import categories, load_object
from vos_occ.structures.errors import InputError

KEYS = ("root", "train", "train_images", "val", "val_images", "format")
FORMATS = ("coco", "kins", "cocoa", "cocoa_cls", "d2sa")
"""Those of `AmodalDataset` that have a protocol of the same name to score them by."""


def fill_own_data(config: Config) -> None:
    """Spreads `own_data` over a config that has it: paths, class names, their number in all heads, the protocol.

    The classes are the categories of the training file, in the order of their ids; the validation file must have the
    same. Without a training file (a model is tested elsewhere) they are those of the validation file.

    Args:
        config: changed in place; its `train_dataloader` and `val_dataloader` read an `AmodalDataset`. `own_data` has
            `root`, a folder; `train` and `val`, annotation files in it; `train_images` and `val_images`, folders in it;
            `format`, one of `FORMATS`.

    Raises:
        InputError: a key is missing or unknown, the format is, or the two files differ in their classes.
        SchemaError: neither file is there, or one cannot be read.
    """
    if "own_data" not in config:
        return
    own = config.own_data
    if set(own) != set(KEYS) or own["format"] not in FORMATS:
        found = ", ".join(f"{key}={value!r}" for key, value in own.items())
        raise InputError(
            f"own_data should have {', '.join(KEYS)}, its format one of {', '.join(FORMATS)}; found {found}."
        )
    classes = _common_classes(own)
    for split in ("train", "val"):
        config[f"{split}_dataloader"].dataset.update(
            data_root=own["root"],
            ann_file=own[split],
            data_prefix={"img": own[f"{split}_images"]},
            format=own["format"],
            num_classes=len(classes),
            metainfo={"classes": classes},
        )
    for head in _heads(config.model):
        head["num_classes"] = len(classes)
    config.val_evaluator.protocol = own["format"]


def _common_classes(own: Mapping[str, str]) -> tuple[str, ...]:
    train, val = (os.path.join(own["root"], own[split]) for split in ("train", "val"))
    if not os.path.exists(train) and os.path.exists(val):
        train = val
    expected, found = class_names(train, own["format"]), class_names(val, own["format"])
    if set(expected) != set(found):
        raise InputError(
            f"{train} and {val} should have the same categories: only the first has "
            f"{_listed(set(expected) - set(found))}, only the second {_listed(set(found) - set(expected))}."
        )
    return expected


def class_names(path: str, format_name: str) -> tuple[str, ...]:
    """Names of the categories of an annotation file in the order of their ids.

    Raises:
        SchemaError: there is no such file, or it is of another format.
        InputError: it has no categories.
    """
    if format_name == "cocoa":  # has none
        return (REGION.name,)
    found = sorted(categories(load_object(path)), key=lambda category: category.id)
    if not found:
        raise InputError(f"{path} has no categories, so there is nothing to tell apart. Add the classes' names.")
    return tuple(category.name for category in found)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _heads(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of a one-stage or two-stage detector that tell classes apart."""
    roi_head = model.get("roi_head", {})
    return [head for head in (model.get("bbox_head"), roi_head.get("bbox_head"), roi_head.get("mask_head")) if head]
