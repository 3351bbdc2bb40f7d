"""Warnings as lines of a command."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

import vos_occ
from vos_occ.inference.messages import warnings_as_lines

OURS = vos_occ.__file__
THEIRS = str(Path(OURS).parents[1] / "vos_occ_env/torch/nn.py")


def warn_in(filename: str, text: str) -> None:
    warnings.warn_explicit(text, UserWarning, filename, 1)


def test_what_the_library_says_is_a_line(capsys: pytest.CaptureFixture) -> None:
    with warnings_as_lines("tool"):
        warn_in(OURS, "order is unknown")
        logging.getLogger("vos_occ.media").warning("%s stays in fragments", "a.mp4")
    assert capsys.readouterr().err == "tool: order is unknown\ntool: a.mp4 stays in fragments\n"


def test_what_others_warn_of_and_what_comes_later_stays_as_it_is(capsys: pytest.CaptureFixture) -> None:
    with pytest.warns(UserWarning) as caught:
        with warnings_as_lines("tool"):
            warn_in(THEIRS, "theirs")
        warn_in(OURS, "later")
    assert [str(warning.message) for warning in caught] == ["theirs", "later"]
    assert not capsys.readouterr().err
