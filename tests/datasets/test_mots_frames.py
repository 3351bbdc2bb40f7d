from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from eval.errors import SchemaError
from vos_occ.datasets.mots import MotsFrames
from vos_occ.datasets.mots_benchmark import mots_benchmark
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.synthetic_kitti_mots import CAST, DISTRACTORS, write_kitti_mots
from vos_occ.datasets.synthetic_street import StreetWorld, crowds
from vos_occ.datasets.video_folders import VideoFolder
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared")) / "data" / "kitti_mots_gt"
WORLD = {"height": 64, "width": 112, "num_frames": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kitti_mots")
    write_kitti_mots(folder, train=3, val=1, **WORLD)
    return folder


def by_id(sample: Sample) -> dict[int, tuple[int, bool, bytes]]:
    rows = zip(sample.instance_ids.tolist(), sample.labels.tolist(), sample.crowd.tolist(), sample.masks, strict=True)
    return {number: (label, crowd, mask.tobytes()) for number, label, crowd, mask in rows}


def test_images_and_text_give_the_truth(root: Path) -> None:
    sources = [mots_benchmark("kitti_mots", root, "train", form) for form in ("png", "txt")]
    world, regions = StreetWorld("train", CAST, DISTRACTORS, **WORLD), 0
    for seed in range(3):
        video = world.video(seed)
        for t, frame in enumerate(video):
            scored = (frame.labels < 2) & ~crowds(video) & frame.is_visible
            expected = {
                (label, mask.astype(np.uint8).tobytes())
                for label, mask in zip(frame.labels[scored].tolist(), frame.visible[scored], strict=True)
            }
            region = frame.visible[frame.is_visible & ~scored].any(0)
            found = [by_id(source.load(seed, t)) for source in sources]
            assert found[0] == found[1]
            assert {(label, mask) for label, crowd, mask in found[0].values() if not crowd} == expected
            crowd_masks = [mask for _, crowd, mask in found[0].values() if crowd]
            assert crowd_masks == [region.astype(np.uint8).tobytes()] * bool(region.any())
            regions += len(crowd_masks)
    assert regions


def test_frames_are_those_with_an_object(root: Path) -> None:
    images, texts = (mots_benchmark("kitti_mots", root, "train", form).frames() for form in ("png", "txt"))
    assert images == [[0, 1, 2]] * 3
    world = StreetWorld("train", CAST, DISTRACTORS, **WORLD)
    videos = [world.video(seed) for seed in range(3)]
    assert texts == [
        [t for t, frame in enumerate(v) if ((frame.labels < 2) & ~crowds(v) & frame.is_visible).any()] for v in videos
    ]


def test_the_split_decides_which_sequences_are_read(root: Path) -> None:
    assert len(mots_benchmark("kitti_mots", root, "val").frames()) == 1
    assert len(mots_benchmark("kitti_mots", root, "trainval").frames()) == 4
    with pytest.raises(InputError, match="has no labels of kitti_mots test .png, txt., so it cannot"):
        (root / "testing/image_02/0000").mkdir(parents=True, exist_ok=True)
        mots_benchmark("kitti_mots", root, "test")


def test_ids_are_of_one_sequence_only(root: Path) -> None:
    source = mots_benchmark("kitti_mots", root, "train")
    ids = [set(source.load(video, 1).instance_ids.tolist()) for video in range(3)]
    assert not ids[0] & ids[1]
    assert not ids[1] & ids[2]


def line(frame: int, number: int, category: int, *columns: int) -> str:
    mask = np.zeros((4, 6), bool)
    mask[:, columns] = True
    return f"{frame} {number} {category} 4 6 {rle.encode(mask)['counts']}\n"


def sequence(root: Path, *lines: str, frames: int = 2, first: int = 1) -> MotsFrames:
    """A sequence of text, as MOTSChallenge has it."""
    (root / "img1").mkdir(parents=True)
    for t in range(frames):
        cv2.imwrite(str(root / "img1" / f"{first + t:06d}.jpg"), np.zeros((4, 6, 3), np.uint8))
    (root / "s.txt").write_text("".join(lines))
    names = tuple(sorted(path.name for path in (root / "img1").iterdir()))
    return MotsFrames(root / "s.txt", [VideoFolder("s", root / "img1", names)], first)


def test_motschallenge_counts_frames_from_one(tmp_path: Path) -> None:
    source = sequence(tmp_path, line(2, 2001, 2, 0), line(1, 2001, 2, 1), line(2, 10000, 10, 4), line(2, 10000, 10, 5))
    assert source.frames() == [[0, 1]]
    assert source.load(0, 0).masks[0].argmax(1).tolist() == [1] * 4
    sample = source.load(0, 1)
    assert sample.labels[~sample.crowd].tolist() == [1]
    assert sample.crowd.sum() == 2  # ignored regions share their id


def test_a_region_to_ignore_is_kept_whatever_the_classes(tmp_path: Path) -> None:
    sequence(tmp_path, line(1, 1001, 1, 0), line(1, 2001, 2, 1), line(1, 10000, 10, 4))
    video = VideoFolder("s", tmp_path / "img1", ("000001.jpg", "000002.jpg"))
    sample = MotsFrames(tmp_path / "s.txt", [video], 1, classes=("pedestrian",)).load(0, 0)
    assert (sample.labels.tolist(), sample.crowd.tolist()) == ([0, 0], [False, True])
    everything = MotsFrames(
        tmp_path / "s.txt", [video], 1, classes=("thing",), merge={"car": "thing", "pedestrian": "thing"}
    )
    assert everything.load(0, 0).labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([line(1, 2001, 2, 0, 1), line(1, 2002, 2, 1)], "s.txt, line 1 and s.txt, line 2 have masks that overlap"),
        ([line(1, 70000, 2, 0)], "line 1: the id is 70000, expected at most 65535"),
        ([line(1, 3001, 3, 0)], "the class is 3, expected one of 1, 2, 10"),
        ([line(3, 2001, 2, 0)], "frame 3 is outside of the sequence, which has 1 to 2"),
        ([line(0, 2001, 2, 0)], "frame 0 is outside of the sequence, which has 1 to 2"),
        (["1 2001 2 4 6 1\n"], "line 1: the mask covers 1 pixels"),
    ],
    ids=["overlap", "id", "class", "beyond", "before", "broken"],
)
def test_a_broken_line_is_told(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        sequence(tmp_path, *lines)


def test_a_sequence_without_labels_is_told(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "training", tmp_path / "training")
    shutil.copytree(root / "instances", tmp_path / "instances")
    shutil.rmtree(tmp_path / "instances" / "0001")
    with pytest.raises(InputError, match="has no labels of 1 of 3 sequences: 0001"):
        mots_benchmark("kitti_mots", tmp_path)


def image(root: Path, pixels: np.ndarray) -> Any:
    for folder, picture in (("labels/s", pixels), ("frames/s", np.zeros((4, 6, 3), np.uint8))):
        (root / folder).mkdir(parents=True)
        cv2.imwrite(str(root / folder / "000000.png"), picture)
    return MotsFrames(root / "labels", [VideoFolder("s", root / "frames/s", ("000000.png",))], 0)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.zeros((4, 6), np.uint8), "has pixels of mode L, expected 16-bit grey"),
        (
            np.full((4, 6), 5003, np.uint16),
            "has a pixel 5003, of class 5; known are 1 car, 2 pedestrian and 10 ignored",
        ),
    ],
    ids=["8 bits", "class"],
)
def test_a_label_image_that_is_none_is_told(tmp_path: Path, pixels: np.ndarray, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        image(tmp_path, pixels).load(0, 0)


def test_a_picture_of_another_size_is_told(tmp_path: Path) -> None:
    source = image(tmp_path, np.full((5, 6), 1001, np.uint16))
    with pytest.raises(InputError, match="is 6x4, but its annotation says 6x5"):
        source.load(0, 0)


def test_as_many_label_images_as_frames(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "training", tmp_path / "training")
    shutil.copytree(root / "instances", tmp_path / "instances")
    (tmp_path / "instances" / "0000" / "000002.png").unlink()
    with pytest.raises(InputError, match="has 2 images of sequence 0000 from number 0 on, but .* has 3 frames from 0"):
        mots_benchmark("kitti_mots", tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs KITTI MOTS (VOS_OCC_DATA)")
def test_real_kitti_mots_is_read_frame_by_frame() -> None:
    names = tuple(f"{t:06d}.png" for t in range(447))
    source = MotsFrames(SHARED / "instances_txt.zip", [VideoFolder("0001", SHARED / "image_02" / "0001", names)], 0)
    sample = source.load(0, 1)
    with zipfile.ZipFile(SHARED / "instances_txt.zip") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("0001.txt")]
        lines = [text.split() for text in archive.read(name).decode().splitlines()]
    lines = sorted((text for text in lines if text[0] == "1"), key=lambda text: int(text[1]))
    assert sample.instance_ids.tolist() == [int(text[1]) for text in lines]
    assert [(label, crowd) for label, crowd in zip(sample.labels, sample.crowd, strict=True)] == [
        ({"1": 0, "2": 1, "10": 0}[text[2]], text[2] == "10") for text in lines
    ]
    for mask, text in zip(sample.masks, lines, strict=True):
        assert (mask == rle.decode({"size": [375, 1242], "counts": text[5]})).all()
    assert sample.image.shape == (375, 1242, 3)
    with pytest.raises(InputError, match="000002.png does not exist"):
        source.load(0, 2)
