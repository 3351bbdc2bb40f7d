from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.readers.ytvis import Video, YtvisDataset
from vos_occ.structures.errors import InputError
from vos_occ.validation.clips import OccImages, OccVideos

FRAME = {"id": 1, "width": 8, "height": 6}
VIDEOS = {"videos": [FRAME | {"length": 1, "file_names": ["0.png"]}], "annotations": []}
IMAGES = {"images": [FRAME | {"file_name": "0.png"}], "annotations": []}
CATEGORIES = [{"id": 7, "name": "star"}, {"id": 3, "name": "ball"}]


def test_videos_come_in_the_order_of_the_file(truth: YtvisDataset) -> None:
    clips = OccVideos(truth.path, "frames")
    assert [clips[i] for i in range(len(clips))] == list(truth.videos)
    assert clips.metainfo["dataset"] == truth


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(IMAGES | {"categories": CATEGORIES}))
    clips = OccImages(tmp_path / "x.json", "frames")
    assert list(clips.videos) == [Video(1, "0.png", 8, 6, 1, ("0.png",))]


@pytest.mark.parametrize(
    ("classes", "ids"), [(None, [3, 7]), (["star", "ball"], [7, 3]), (["star"], [7])], ids=["all", "both", "one"]
)
def test_labels_have_the_ids_of_their_names(tmp_path: Path, classes: list[str] | None, ids: list[int]) -> None:
    (tmp_path / "x.json").write_text(json.dumps(IMAGES | {"categories": CATEGORIES}))
    clips = OccImages(tmp_path / "x.json", "frames", classes)
    assert clips.category_ids == ids
    assert clips.classes == tuple(classes or ["ball", "star"])


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        (OccVideos, VIDEOS | {"annotations": None}, "has no annotations, so nothing can be validated on it"),
        (OccImages, IMAGES | {"annotations": None}, "has no annotations, so nothing can be validated on it"),
        (OccVideos, VIDEOS | {"videos": []}, "has nothing to validate on"),
        (OccImages, IMAGES | {"images": []}, "has nothing to validate on"),
        (OccVideos, VIDEOS | {"videos": [FRAME | {"length": 1}]}, "video or image 1 has no file names"),
        (OccImages, IMAGES | {"images": [FRAME]}, "video or image 1 has no file names"),
        (OccVideos, VIDEOS | {"categories": [{"id": 1, "name": "dog"}]}, "has no category 'ball'. It has: dog"),
    ],
)
def test_files_that_cannot_be_validated_on_are_refused(
    tmp_path: Path, kind: type, content: dict[str, Any], message: str
) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"categories": CATEGORIES} | content))
    with pytest.raises(InputError, match=message) as error:
        kind(tmp_path / "x.json", tmp_path, ["ball"])
    assert "x.json" in str(error.value)
