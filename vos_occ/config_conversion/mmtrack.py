"""A config of mmtrack 0.x (MaskTrack R-CNN; of QDTrack what there is here) as a config of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import one_line
from vos_occ.config_conversion.mmtrack_data import convert_data
from vos_occ.config_conversion.mmtrack_model import convert_model, describe_images
from vos_occ.config_conversion.mmtrack_schedule import convert_schedule
from vos_occ.config_conversion.plain_python import PlainConfig
from vos_occ.config_conversion.section import Conversion, Section
from vos_occ.config_conversion.text import assignments
from vos_occ.structures.errors import InputError

IMPORTS = ["vos_occ.models.video.masktrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"]


@dataclass(frozen=True)
class ConvertedConfig:
    """A config under our names.

    Attributes:
        values: Its entries.
        unsupported: `key = value: why` of each entry of the source that is not among them.
        notes: What is, but should be known or looked at.
    """

    values: dict[str, Any]
    unsupported: tuple[str, ...]
    notes: tuple[str, ...]

    def text(self, source: Path) -> str:
        """The config file: what was left out and what to know as comments, then the entries."""
        lines = [f"Converted from {source.name} (mmtrack 0.x) by tools/convert_config.py. Not trained, not tried."]
        lines += ["Left out:", *(f"  {entry}" for entry in self.unsupported)] if self.unsupported else []
        lines += ["To know:", *(f"  {note}" for note in self.notes)] if self.notes else []
        return "".join(f"# {one_line(line)}\n" for line in lines) + assignments(self.values)


def convert_config(source: PlainConfig) -> ConvertedConfig:
    """Map a config key by key.

    Args:
        source: as `read_plain_config` reads it.

    Raises:
        InputError: it is no config of mmtrack 0.x, or of another model.
    """
    if "optim_wrapper" in source.values or "train_dataloader" in source.values:
        raise InputError(
            "This config is for mmengine (mmtrack 1.x, mmdet 3.x); only those of mmtrack 0.x are converted."
        )
    if "model" not in source.values:
        raise InputError("This config has no `model`. Give the file that mmtrack's tools/train.py takes.")
    try:
        return _converted(source)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:  # a value of another form
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"An entry is not of the form that mmtrack's configs have ({problem}). Correct it.") from error


def _converted(source: PlainConfig) -> ConvertedConfig:
    conversion = Conversion()
    config = Section(source.values, "", conversion)
    model = convert_model(config.section("model"))
    data, images = convert_data(config.section("data"))
    describe_images(model, images, conversion)
    schedule = convert_schedule(config)
    for name in source.helpers:
        config.take(name)  # what was written with it has been mapped
    config.close()
    classes = data.pop("classes", None)
    values = {"default_scope": "mmdet", "custom_imports": {"imports": IMPORTS}}
    values |= {"classes": classes} if classes else {}
    values |= {"model": model, **data, **schedule}
    if classes is None:
        conversion.note("The config names no classes, which tools need: add `classes` and a `train_dataloader`.")
    return ConvertedConfig(values, tuple(conversion.unsupported), tuple(conversion.notes))
