"""Small annotation files of every format, as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eval.rle import Rle
from vos_occ.structures import rle

HEAD = """<meta><task><name>walk.mp4</name><size>{length}</size><mode>interpolation</mode>
<start_frame>{start}</start_frame><frame_filter>{step}</frame_filter>
<labels><label><name>dog</name></label><label><name>cat</name></label></labels>
<original_size><width>8</width><height>6</height></original_size></task></meta>"""


def picture(mask: Rle | None) -> list[str] | None:
    """A mask as rows of `#` and `.`."""
    return None if mask is None else ["".join(".#"[int(pixel)] for pixel in row) for row in rle.decode(mask)]


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[[Rle | None], list[str] | None]:
    return picture


@pytest.fixture
def cvat(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CVAT file of the given tracks, for a video of 8 x 6 pixels."""

    def write(tracks: str, length: int = 5, start: int = 0, step: str = "", name: str = "annotations.xml") -> Path:
        head = HEAD.format(length=length, start=start, step=step)
        path = tmp_path / name
        path.write_text(f"<annotations><version>1.1</version>{head}{tracks}</annotations>")
        return path

    return write
