"""Which videos are tested: from the command line, the config, or a split of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vos_occ.inference.video_files import VideoFiles, find_video_files
from vos_occ.structures.errors import InputError
from vos_occ.training import read_config

NAMED = {"test_dataset": {"ann_file": "a.json", "image_root": "images"}}
CONFIGS = Path(__file__).parents[2] / "configs/masktrack"


@pytest.fixture
def ovis(tmp_path: Path) -> Path:
    """OVIS in the layout of CMaskTrack R-CNN: valid in `valid_images`, test in `test`."""
    for name in ("valid_images", "test"):
        (tmp_path / name).mkdir()
    for split in ("valid", "test"):
        (tmp_path / f"annotations_{split}.json").write_text("{}")
    return tmp_path


def test_the_command_line_comes_before_the_config() -> None:
    assert find_video_files(NAMED) == VideoFiles(Path("a.json"), Path("images"), None)
    assert find_video_files(NAMED, ann_file="b.json").ann_file == Path("b.json")
    assert find_video_files({}, ann_file="b.json", image_root="i", format="ovis").format == "ovis"


def test_splits_are_found_below_the_data_root_of_the_config_or_another(ovis: Path) -> None:
    config = {**NAMED, "benchmark": "ovis", "data_root": str(ovis)}
    expected = VideoFiles(ovis / "annotations_valid.json", ovis / "valid_images", "ovis")
    assert find_video_files(config, split="valid") == expected
    assert find_video_files(config, split="test").image_root == ovis / "test"
    assert find_video_files({**config, "data_root": "elsewhere"}, split="valid", data_root=str(ovis)) == expected
    assert find_video_files({}, split="valid", data_root=str(ovis), format="ovis") == expected


def test_a_split_with_other_annotations_keeps_its_frames(ovis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ovis)
    (ovis / "mine").mkdir()
    (ovis / "mine/full.json").write_text("{}")
    found = find_video_files({}, split="valid", data_root="..//" + ovis.name, format="ovis", ann_file="mine/full.json")
    assert found.ann_file.samefile(ovis / "mine/full.json") and found.image_root.samefile(ovis / "valid_images")


@pytest.mark.parametrize("layout", ["valid.json", "valid/instances.json"])
def test_youtube_vis_of_any_year_is_found(layout: str, tmp_path: Path) -> None:
    (tmp_path / "valid/JPEGImages").mkdir(parents=True)
    (tmp_path / layout).write_text("{}")
    found = find_video_files({}, split="valid", data_root=str(tmp_path), format="ytvis")
    assert found == VideoFiles(tmp_path / layout, tmp_path / "valid/JPEGImages", "ytvis")


@pytest.mark.parametrize("data, format", [("ytvis2019", "ytvis"), ("ytvis2022", "ytvis"), ("ovis", "ovis")])
def test_recipes_name_the_files_that_their_split_has(data: str, format: str, tmp_path: Path, monkeypatch) -> None:
    config = read_config(CONFIGS / f"masktrack_fcn_r50_{data}.py")
    monkeypatch.chdir(tmp_path)
    named = find_video_files(config)
    named.image_root.mkdir(parents=True)
    named.ann_file.parent.mkdir(exist_ok=True)
    named.ann_file.write_text("{}")
    assert find_video_files(config, split="valid") == named and named.format == format


@pytest.mark.parametrize(
    "config, options, message",
    [
        ({}, {}, "names no test_dataset: give --ann-file and --image-root, or --split"),
        ({}, {"split": "valid", "data_root": "x"}, "add --format ovis|ytvis"),
        ({}, {"split": "valid", "format": "ovis"}, "add --data-root DIR"),
        ({}, {"split": "valid", "format": "ovis", "data_root": "absent"}, "There is no folder 'absent'"),
    ],
)
def test_what_is_not_named_is_told(config: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        find_video_files(config, **options)
    assert message in str(error.value)
