"""CVAT's zips of MOTS images, written from tracks and from results, and read back."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

from eval.errors import SchemaError
from eval.readers.mots_videos import read_mots_videos
from eval.readers.ytvis import read_ytvis
from vos_occ.datasets.jsonl_videos import read_jsonl_video
from vos_occ.results import CvatMotsWriter
from vos_occ.results.header import Header
from vos_occ.results.jsonl import JsonlWriter
from vos_occ.structures import FrameResult, InputError, OutputExistsError, rle

TOOL = Path(__file__).parents[2] / "tools" / "convert_dataset.py"
HEIGHT, WIDTH = 6, 8


def box(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[1:5, x0:x1] = True
    return mask


def frame(t: int, *objects: tuple[int, int, float, np.ndarray]) -> FrameResult:
    """Objects are (track id, label, score, mask)."""
    ids, labels, scores, masks = zip(*objects, strict=True) if objects else [()] * 4
    boxes = np.zeros((len(objects), 4), np.float32)
    kinds = np.array(ids, np.int64), np.array(labels, np.int64), np.array(scores, np.float32)
    return FrameResult(t, HEIGHT, WIDTH, *kinds, boxes, [rle.encode(mask) for mask in masks])


FRAMES = [
    frame(0, (4, 1, 0.9, box(0, 3)), (7, 0, 0.4, box(2, 5))),  # share column 2, which the better one keeps
    frame(1),
    frame(2, (4, 1, 0.9, box(1, 4))),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "walk.jsonl"
    with JsonlWriter(path, Header("walk.mp4", WIDTH, HEIGHT, 25.0, 3, ("cat", "dog"))) as writer:
        for result in FRAMES:
            writer.write(result, None)
    return path


def run(*arguments: object) -> int:
    spec = importlib.util.spec_from_file_location("convert_dataset", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.main([*map(str, arguments), "--quiet"])


def expect_frames(path: Path, **options) -> None:
    (video,) = read_mots_videos(path, **options)
    assert (video.name, video.length, video.classes) == ("walk", 3, {"cat": 1, "dog": 2})
    assert [(track.id, track.label) for track in video.tracks] == [(4, "dog"), (7, "cat")]
    dog, cat = video.tracks
    np.testing.assert_array_equal(rle.decode(dog.masks[0]), box(0, 3))
    np.testing.assert_array_equal(rle.decode(cat.masks[0]), box(3, 5))
    assert [mask is None for mask in dog.masks] == [False, True, False]
    assert [mask is None for mask in cat.masks] == [False, True, True]


def test_a_zip_holds_what_cvat_looks_for_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "walk.zip"
    with CvatMotsWriter(path, ["cat", "dog"]) as writer:
        for result in FRAMES:
            writer.write(result)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            *(f"default/instances/frame_{t:06d}.png" for t in range(3)),
            "default/instances/labels.txt",
        ]
        assert archive.read("default/instances/labels.txt") == b"cat\ndog\n"
    expect_frames(path)
    first = path.read_bytes()
    with CvatMotsWriter(path, ["cat", "dog"], overwrite=True) as writer:
        for result in FRAMES:
            writer.write(result)
    assert path.read_bytes() == first


def test_images_are_called_as_the_pictures_of_the_task(tmp_path: Path) -> None:
    path, pictures = tmp_path / "walk.zip", ["shot_7.jpg", "shot_9.jpg", "shot_12.jpg"]
    (tmp_path / "frames" / "walk").mkdir(parents=True)
    for name in pictures:
        (tmp_path / "frames" / "walk" / name).touch()
    with CvatMotsWriter(path, ["cat", "dog"], names=pictures) as writer:
        writer.write(FRAMES[0])
        writer.write(FRAMES[2])
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[:2] == ["default/instances/shot_7.png", "default/instances/shot_12.png"]
    expect_frames(path, frames=tmp_path / "frames")


def test_results_become_a_task_of_cvat_and_come_back_as_annotations(results: Path, tmp_path: Path, capsys) -> None:
    assert run(results, "--from", "jsonl", "--to", "cvat-mots", "--out", tmp_path / "cvat") == 0
    said = capsys.readouterr().out
    assert "1 video, 2 tracks, 3 masks" in said and "2 tracks are without their scores" in said
    assert "made up" not in said
    expect_frames(tmp_path / "cvat" / "walk.zip")
    out = tmp_path / "train.json"
    assert run(tmp_path / "cvat" / "walk.zip", "--from", "mots-png", "--to", "ytvis", "--out", out) == 0
    direct = tmp_path / "direct.json"
    assert run(results, "--from", "jsonl", "--to", "ytvis", "--out", direct) == 0
    both = [read_ytvis(path).tracks for path in (out, direct)]
    assert [(t.id, t.category_id, t.segmentations) for t in both[0]] == [
        (t.id, t.category_id, t.segmentations) for t in both[1]
    ]
    assert run(out, "--from", "ytvis", "--to", "cvat-mots", "--out", tmp_path / "again") == 0
    expect_frames(tmp_path / "again" / "walk.zip")


@pytest.mark.parametrize(
    ("video", "name"), [("cam.1", "cam.1"), ("cam.1.mp4", "cam.1"), ("walk.avi", "walk"), ("in/walk", "walk")]
)
def test_results_are_called_as_their_video_without_its_suffix(tmp_path: Path, video: str, name: str) -> None:
    with JsonlWriter(tmp_path / "a.jsonl", Header(video, WIDTH, HEIGHT, 25.0, 3, ("cat", "dog"))) as writer:
        writer.write(FRAMES[0], None)
    assert read_jsonl_video(tmp_path / "a.jsonl").name == name


def test_results_of_videos_without_a_name_are_called_as_their_files(tmp_path: Path, capsys) -> None:
    for number in (1, 2):
        with JsonlWriter(tmp_path / f"{number}.jsonl", Header("", WIDTH, HEIGHT, None, 1, ("cat", "dog"))) as writer:
            writer.write(FRAMES[0], None)
    files = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    assert run(*files, "--from", "jsonl", "--to", "cvat-mots", "--out", tmp_path / "draft") == 0
    assert sorted(path.name for path in (tmp_path / "draft").iterdir()) == ["1.zip", "2.zip"]


def test_results_that_break_off_are_no_annotations(results: Path, tmp_path: Path, capsys) -> None:
    results.write_text(results.read_text()[:-40])
    assert run(results, "--from", "jsonl", "--to", "cvat-mots", "--out", tmp_path / "cvat") == 2
    assert "holds 2 frames and then breaks off. Run the video again" in capsys.readouterr().err
    assert not (tmp_path / "cvat").exists()


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([(1000, 0, 1.0, box(0, 2))], "instance numbers up to 999, found track id 1000"),
        ([(1, 2, 1.0, box(0, 2))], "Label 2 has no class id, 2 are given"),
    ],
    ids=["a track id that does not fit", "a label without a class"],
)
def test_what_does_not_fit_is_refused_and_leaves_no_zip(tmp_path: Path, objects: list, message: str) -> None:
    with pytest.raises(InputError, match=message), CvatMotsWriter(tmp_path / "a.zip", ["cat", "dog"]) as writer:
        writer.write(frame(0, *objects))
    assert not list(tmp_path.iterdir())


def test_a_frame_without_a_name_and_a_class_of_two_lines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Frame 1 has no name, 1 are given"):
        CvatMotsWriter(tmp_path / "a.zip", ["cat"], names=["a.jpg"]).write(frame(1))
    with pytest.raises(InputError, match=r"'big\\ndog' cannot be the name of a class of CVAT"):
        CvatMotsWriter(tmp_path / "a.zip", ["cat", "big\ndog"])


def test_a_zip_is_kept_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("old")
    with pytest.raises(OutputExistsError, match="already exists. Use --overwrite"):
        CvatMotsWriter(tmp_path / "a.zip", ["cat"])
    writer = CvatMotsWriter(tmp_path / "a.zip", ["cat"], overwrite=True)
    writer.write(frame(0))
    assert (tmp_path / "a.zip").read_text() == "old"
    writer.close()
    writer.close()
    assert read_mots_videos(tmp_path / "a.zip")[0].length == 1
    with pytest.raises(ValueError, match="is closed"):
        writer.write(frame(1))


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["train/instances"], ["walk"]),
        (["train/instances", "default/instances"], ["train", "walk"]),
        (["train/instances", "val/instances"], ["train", "val"]),
        (["instances/street"], ["street"]),
        (["my/street/instances"], ["street"]),
    ],
    ids=["a subset is no video", "two subsets, one without a name", "two subsets", "a folder of a video", "deeper"],
)
def test_a_zip_of_one_subset_is_called_as_the_zip(tmp_path: Path, folders: list[str], names: list[str]) -> None:
    with CvatMotsWriter(tmp_path / "written.zip", ["cat", "dog"]) as writer:
        writer.write(FRAMES[0])
    with zipfile.ZipFile(tmp_path / "written.zip") as archive:
        image = archive.read("default/instances/frame_000000.png")
    with zipfile.ZipFile(tmp_path / "walk.zip", "w") as archive:
        for folder in folders:
            archive.writestr(f"{folder}/frame_000000.png", image)
    assert [video.name for video in read_mots_videos(tmp_path / "walk.zip")] == names


def test_a_zip_without_images_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("default/images/frame_000000.png", b"a picture, no masks")
    with pytest.raises(SchemaError, match=f"'{tmp_path / 'a.zip'}' has no MOTS images"):
        read_mots_videos(tmp_path / "a.zip")
