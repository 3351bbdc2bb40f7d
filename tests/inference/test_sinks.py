from __future__ import annotations

from pathlib import Path

import pytest

from vos_occ.inference.sinks import Outputs
from vos_occ.structures.errors import InputError


def test_outputs_need_a_name_each() -> None:
    with pytest.raises(InputError, match="Nothing would be written"):
        Outputs()
    with pytest.raises(InputError, match="Two outputs have one name"):
        Outputs(jsonl=Path("a"), mot=Path("./a"))
