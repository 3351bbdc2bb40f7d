"""From YouTube-VIS to every other format and back: what the format holds comes back as it was."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.readers.annotated_video import AnnotatedVideo, ObjectTrack, from_ytvis
from eval.readers.ytvis import read_ytvis
from eval.rle import Rle
from vos_occ.datasets.conversion import convert, read_videos
from vos_occ.structures import rle

CLASSES = {"cat": 2, "dog & <bone>": 5}
LABELS = st.sampled_from(["no_occlusion", "slight_occlusion", "severe_occlusion"])
HELD = {
    "ytvis": {"occlusion", "hidden", "amodal_segmentations", "in_front_of"},
    "coco-track": {"occlusion", "hidden", "amodal_segmentations", "in_front_of"},
    "cvat-video": {"occlusion", "hidden"},
    "labelme": {"occlusion"},
    "mots-png": set(),
}


@st.composite
def videos(draw: st.DrawFn, disjoint: bool) -> list[AnnotatedVideo]:
    """Up to two videos of up to three objects; ids are those of the data set. Disjoint: no two masks share a pixel."""
    found, number = [], draw(st.integers(1, 3))
    for v in range(draw(st.integers(1, 2))):
        height, width, length = (draw(st.integers(1, 5)) for _ in range(3))
        owners = np.array(
            draw(st.lists(st.integers(0, 3), min_size=height * width * length, max_size=height * width * length))
        )
        owners = owners.reshape(length, height, width)
        tracks = []
        for k in range(1, 4):
            there = owners == k if disjoint else owners >= k
            if not there.any():
                continue
            masks = tuple(rle.encode(frame) if frame.any() else None for frame in there)
            tracks.append(ObjectTrack(number, draw(st.sampled_from(sorted(CLASSES))), masks, False, facts(draw, masks)))
            number += 1
        ids = [track.id for track in tracks]
        for track in tracks:
            others = [other for other in ids if other != track.id]
            track.per_frame["in_front_of"] = tuple(
                _behind(tracks, others, t) if track.masks[t] else None for t in range(length)
            )
        names = tuple(f"v{v}/{t:06d}.jpg" for t in range(length))
        found.append(AnnotatedVideo(f"v{v}", height, width, length, names, CLASSES, tuple(tracks), "made"))
    return found


def facts(draw: st.DrawFn, masks: tuple[Rle | None, ...]) -> dict:
    """What is said of the frames in which an object is seen."""
    return {
        "occlusion": tuple(mask and draw(LABELS) for mask in masks),
        "hidden": tuple(mask and draw(st.floats(0, 1)) for mask in masks),
        "amodal_segmentations": masks,
    }


def _behind(tracks: list[ObjectTrack], others: list[int], t: int) -> list[int]:
    return [track.id for track in tracks if track.id in others and track.masks[t] is not None][:1]


def said(found: list[AnnotatedVideo], held: set[str]) -> Iterator[tuple]:
    """Everything that a format holds."""
    for video in found:
        yield video.name, video.height, video.width, video.length, video.frame_names
        for track in sorted(video.tracks, key=lambda track: track.id):
            yield (
                video.name,
                track.id,
                track.label,
                track.masks,
                {k: v for k, v in track.per_frame.items() if k in held},
            )


@pytest.mark.parametrize("target", sorted(HELD))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_what_a_format_holds_comes_back(target: str, data: st.DataObject) -> None:
    made = data.draw(videos(disjoint=target == "mots-png"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        convert(made, "ytvis", folder / "first.json")
        first = from_ytvis(read_ytvis(folder / "first.json"))
        assert list(said(first, HELD["ytvis"])) == list(said(made, HELD["ytvis"]))
        out = folder / ("there.json" if target in ("ytvis", "coco-track") else "there")
        convert(first, target, out)
        inputs = {"cvat-video": lambda: sorted(out.glob("*.xml")), "labelme": lambda: sorted(out.iterdir())}
        back = read_videos(target, inputs.get(target, lambda: [out])())
        convert(back, "ytvis", folder / "back.json")
        again = from_ytvis(read_ytvis(folder / "back.json"))
    assert list(said(again, HELD[target])) == list(said(first, HELD[target]))
    if target in ("ytvis", "coco-track"):
        assert [video.classes for video in again] == [video.classes for video in first]
