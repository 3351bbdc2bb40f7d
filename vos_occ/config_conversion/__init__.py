"""Configs of mmtrack and mmdet 3.x as ours: read without running them, mapped key by key, what has no place listed."""

from __future__ import annotations

from vos_occ.config_conversion.mmtrack import ConvertedConfig, convert_config
from vos_occ.config_conversion.plain_python import read_plain_config

__all__ = ["ConvertedConfig", "convert_config", "read_plain_config"]
