"""Training configs: read with one-line errors, and checked before anything is built."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from vos_occ.structures.errors import InputError
from vos_occ.training.own_data import fill_own_data


def read_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """A config file, with `key=value` overrides, and what follows from its `own_data` if it has that.

    Raises:
        InputError: the file is absent, is no config, an option is not of the form key=value, or `own_data` is wrong.
        SchemaError: the annotations that `own_data` names cannot be read.
    """
    if not Path(path).is_file():
        raise InputError(f"Config {str(path)!r} does not exist. The shipped ones are in configs/.")
    try:
        config = Config.fromfile(str(path))
    except Exception as error:  # a config is a program, which fails in any of the ways in which programs fail
        reason = " ".join(str(error).split())
        raise InputError(f"Config {str(path)!r} cannot be read: {type(error).__name__}: {reason}") from error
    try:
        config.merge_from_dict(parse_options(options))
    except (KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"Options {' '.join(options)} do not fit config {str(path)!r}: {first_sentence(error)}."
        ) from error
    fill_own_data(config)
    return config


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """`["a.b=1", "c=[2,3]"]` as a dict, values parsed as mmengine's command lines do."""
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator or not key:
            raise InputError(f"Option {option!r} is not of the form key=value.")
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


def first_sentence(error: Exception) -> str:
    """What an error says, without quotes around it and without the paragraph of advice that may follow."""
    text = " ".join(str(error.args[0] if error.args else error).split())
    return text.split(". ")[0].rstrip(".")


def require_trainable(config: Config, path: str | Path) -> None:
    """Raises InputError unless the config has what a Runner trains."""
    if missing := [key for key in ("model", "train_dataloader", "train_cfg", "optim_wrapper") if key not in config]:
        raise InputError(f"Config {str(path)!r} has no `{missing[0]}`, which training needs. See configs/demo/.")
    if "classes" in config:
        require_classes(config.model, config.classes)
    dataset = config.train_dataloader.get("dataset", {})
    if dataset.get("num_classes") is not None:
        _require_count(config.model, dataset["num_classes"], "The dataset of the config has")


def require_classes(model_config: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Raises InputError unless the detector of a model config tells as many classes apart as there are names."""
    if isinstance(classes, str):
        raise InputError(f"`classes` is the text {classes!r}, expected names: classes = ({classes!r},) with a comma.")
    _require_count(model_config, len(classes), "`classes` of the config names")


def _require_count(model_config: Mapping[str, Any], count: int, subject: str) -> None:
    detector = model_config.get("detector", model_config)
    for head in (detector.get("roi_head", {}).get("bbox_head"), detector.get("bbox_head")):
        known = head.get("num_classes", count) if isinstance(head, Mapping) else count
        if known != count:
            raise InputError(
                f"{subject} {count} classes, but num_classes of its model's bbox_head is {known}. Correct either."
            )
