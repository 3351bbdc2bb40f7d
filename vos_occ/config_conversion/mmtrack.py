"""A config of mmtrack 0.x or mmdet 3.x (MaskTrack R-CNN, QDTrack) as a config of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import one_line
from vos_occ.config_conversion.mmengine_form import convert_images, convert_loaders, convert_run, is_mmengine
from vos_occ.config_conversion.mmtrack_data import IMAGES, convert_data
from vos_occ.config_conversion.mmtrack_model import convert_model, describe_images
from vos_occ.config_conversion.mmtrack_schedule import convert_schedule
from vos_occ.config_conversion.plain_python import PlainConfig
from vos_occ.config_conversion.section import Conversion, Section
from vos_occ.config_conversion.text import assignments
from vos_occ.structures.errors import InputError

IMPORTS = ["vos_occ.models.bilayer", "vos_occ.datasets.pairs"]
MODULES = {"OccMaskTrackRCNN": "masktrack", "OccPCAN": "pcan"}

SETTINGS = frozenset({"custom_hooks", "custom_imports", "evaluation", "fp16"})
"""What a runner reads itself, though other entries may be written with it."""

Entries = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
"""About data, about training, and of images."""


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
        lines = [f"Converted from {source.name} by tools/convert_config.py. Not trained, not tried."]
        lines += ["Left out:", *(f"  {entry}" for entry in self.unsupported)] if self.unsupported else []
        lines += ["To know:", *(f"  {note}" for note in self.notes)] if self.notes else []
        return "".join(f"# {one_line(line)}\n" for line in lines) + assignments(self.values)


def convert_config(source: PlainConfig) -> ConvertedConfig:
    """Map a config key by key.

    Args:
        source: as `read_plain_config` reads it.

    Raises:
        InputError: it is no config of mmtrack or mmdet 3.x, or of another model.
    """
    if "model" not in source.values:
        raise InputError("This config has no `model`. Give the file that tools/train.py of mmtrack or mmdet takes.")
    try:
        return _converted(source)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:  # a value of another form
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"An entry is not of the form that such configs have ({problem}). Correct it.") from error


def _converted(source: PlainConfig) -> ConvertedConfig:
    conversion = Conversion()
    config = Section(source.values, "", conversion)
    theirs = config.section("model")
    images = convert_images(theirs.section("data_preprocessor")) if is_mmengine(source.values) else {}
    model = convert_model(theirs)
    data, schedule, more = (_of_mmengine if is_mmengine(source.values) else _of_mmcv)(config)
    describe_images(model, IMAGES | images | more, conversion)
    for name in source.helpers - SETTINGS:
        config.take(name)  # what was written with it has been mapped
    config.close()
    classes = data.pop("classes", None)
    modules = [f"vos_occ.models.video.{MODULES[model['type']]}", *IMPORTS]
    values = {"default_scope": "mmdet", "custom_imports": {"imports": modules}}
    values |= {"classes": classes} if classes else {}
    values |= {"model": model, **data, **schedule}
    if classes is None:
        conversion.note("The config names no classes, which tools need: add `classes` and a `train_dataloader`.")
    return ConvertedConfig(values, tuple(conversion.unsupported), tuple(conversion.notes))


def _of_mmcv(config: Section) -> Entries:
    data, images = convert_data(config.section("data"))
    return data, convert_schedule(config), images


def _of_mmengine(config: Section) -> Entries:
    data, images = convert_loaders(config)
    return data, convert_run(config), images
