from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from eval.readers.mots import parse_mots
from vos_occ.inference.sinks import OUTPUT_OPTIONS, Outputs, mots_class_ids, open_sinks
from vos_occ.media import Frame
from vos_occ.results import read_jsonl
from vos_occ.structures import FrameResult, InputError, OcclusionOrder, OutputExistsError, UserError, rle

HEIGHT, WIDTH = 48, 64
NUM_FRAMES = 3
NAMES = {
    "video": "o.mp4",
    "jsonl": "o.jsonl",
    "csv": "o.csv",
    "mot": "mot.txt",
    "mots": "mots.txt",
    "masks": "mots",
    "mask_ids": "ids",
    "mask_tracks": "tracks",
    "npz": "o.npz",
    "contact_sheet": "sheet.png",
}


def two_boxes(t: int) -> FrameResult:
    """A dog walks behind a cat."""
    boxes = np.array([[4 + 4 * t, 10, 24 + 4 * t, 40], [24, 8, 40, 44]], np.float32)
    masks = [rle.from_box(box, HEIGHT, WIDTH) for box in boxes.tolist()]
    order = OcclusionOrder(np.array([[False, False], [True, False]]))
    hidden = np.array([0.2 * t, 0], np.float32)
    return FrameResult(
        t, HEIGHT, WIDTH, [3, 7], [0, 1], [0.5, 0.9], boxes, masks, [masks[1], None], hidden=hidden, order=order
    )


def frames() -> list[tuple[Frame, FrameResult]]:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    return [(Frame(t, t / 10, image), two_boxes(t)) for t in range(NUM_FRAMES)]


def all_outputs(folder: Path, overwrite: bool = False) -> Outputs:
    return Outputs(**{field: folder / name for field, name in NAMES.items()}, overwrite=overwrite)


def write(outputs: Outputs, mots_classes: list[int] | None = None, fail_at: int | None = None) -> None:
    video = SimpleNamespace(name="clip", width=WIDTH, height=HEIGHT, fps=10.0, source_fps=10.0, num_frames=NUM_FRAMES)
    model = SimpleNamespace(
        classes=("dog", "cat"), name="tiny", checkpoint_sha256=None, occlusion_options={"enabled": True}
    )
    with ExitStack() as stack:
        sinks = open_sinks(stack, outputs, video, model, mots_classes)
        for t, (frame, result) in enumerate(frames()):
            if t == fail_at:
                raise InputError("the video breaks off")
            for sink in sinks:
                sink(frame, result)


def test_the_table_of_options_has_every_output() -> None:
    assert set(OUTPUT_OPTIONS) == set(NAMES)
    assert [option for option, _ in OUTPUT_OPTIONS.values()].count("--out") == 1
    assert len({option for option, _ in OUTPUT_OPTIONS.values()}) == len(NAMES)


def test_all_outputs_tell_one_story(tmp_path: Path) -> None:
    write(all_outputs(tmp_path), mots_classes=[2, 1])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES.values())
    results = read_jsonl(tmp_path / "o.jsonl").frames
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + 2 * NUM_FRAMES
    assert len((tmp_path / "mot.txt").read_text().splitlines()) == 2 * NUM_FRAMES
    table = parse_mots((tmp_path / "mots.txt").read_bytes(), "mots.txt").table(0, NUM_FRAMES)
    assert set(table.ids.tolist()) == {2003, 1007} and set(table.categories.tolist()) == {1, 2}
    assert np.load(tmp_path / "o.npz")["track_id"].tolist() == [3, 7] * NUM_FRAMES
    for t, result in enumerate(results):
        dog, cat = (rle.decode(mask) for mask in result.masks)
        ids = cv2.imread(str(tmp_path / "ids" / f"{t:06d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(ids, np.where(cat, 7, np.where(dog, 3, 0)))
        mots = cv2.imread(str(tmp_path / "mots" / f"{t:06d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mots, np.where(cat, 1007, np.where(dog, 2003, 0)))
        alone = cv2.imread(str(tmp_path / "tracks" / "track_000003" / f"{t:06d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(alone, dog * np.uint8(255))
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[0] > 300


def test_when_the_video_breaks_off_every_output_keeps_the_frames_before(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="breaks off"):
        write(all_outputs(tmp_path), fail_at=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES.values())
    assert len(read_jsonl(tmp_path / "o.jsonl")) == 2
    assert np.load(tmp_path / "o.npz")["frames"].tolist() == [0, 1]
    assert {line.split()[0] for line in (tmp_path / "mots.txt").read_text().splitlines()} == {"0", "1"}
    assert len(list((tmp_path / "ids").iterdir())) == 2


def test_without_a_single_frame_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="breaks off"):
        write(all_outputs(tmp_path), fail_at=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", sorted(NAMES))
def test_nothing_is_written_over_unasked(tmp_path: Path, field: str) -> None:
    taken = tmp_path / NAMES[field]
    if taken.suffix:
        taken.write_text("mine")
    else:
        taken.mkdir()
        (taken / "notes.txt").write_text("mine")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    outputs = Outputs(**{field: taken})
    for attempt in (lambda: write(outputs), lambda: outputs.require_free(Path("clip.mp4"))):
        with pytest.raises(OutputExistsError, match="Use --overwrite to replace"):
            attempt()
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before
    write(Outputs(**{field: taken}, overwrite=True))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) > 20


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
@pytest.mark.parametrize("field", sorted(set(NAMES) - {"video"}))
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_no_half_of_a_file(tmp_path: Path, field: str) -> None:
    with files_of_at_most(40), pytest.raises(UserError, match="Cannot write '.*': File too large") as error:
        write(Outputs(**{field: tmp_path / NAMES[field]}))
    assert "\n" not in str(error.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []


@pytest.mark.parametrize("field", ["jsonl", "csv", "mot"])
def test_lines_that_fit_stay_whole_when_the_disk_takes_no_more(tmp_path: Path, field: str) -> None:
    path = tmp_path / NAMES[field]
    write(Outputs(**{field: path}))
    lines = path.read_bytes().splitlines(keepends=True)
    size = len(b"".join(lines[:3])) + 5
    with files_of_at_most(size), pytest.raises(UserError, match="File too large"):
        write(Outputs(**{field: path}, overwrite=True))
    assert path.read_bytes() == b"".join(lines[:3])


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Lets the system refuse bytes beyond these, as a full disk does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_outputs_need_a_name_each() -> None:
    with pytest.raises(InputError, match="Nothing would be written"):
        Outputs()
    with pytest.raises(InputError, match="Two outputs have one name"):
        Outputs(jsonl=Path("a"), mot=Path("./a"))
    with pytest.raises(InputError, match="Let its name end in .png"):
        Outputs(contact_sheet=Path("a.jpg"))


@pytest.mark.parametrize(
    ("names", "ids"),
    [(None, None), ("dog=2,cat=1", [2, 1]), (" cat = 1 , dog=2", [2, 1]), ("dog=3", [3, 0])],
    ids=["left out", "all", "blanks", "only the class that is kept"],
)
def test_mots_classes_are_named(names: str | None, ids: list[int] | None) -> None:
    kept = frozenset({0, 1} if names and "cat" in names else {0})
    assert mots_class_ids(names, ("dog", "cat"), kept) == ids


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("dog", "takes NAME=ID"),
        ("dog=x", "takes NAME=ID"),
        ("=2", "takes NAME=ID"),
        ("dog=²", "takes NAME=ID"),
        ("", "takes NAME=ID"),
        ("bird=2", "'bird' of --mots-class is not one of this model's: dog, cat"),
        ("dog=2", "gives no id to 'cat'"),
    ],
)
def test_mots_classes_that_cannot_be_are_refused(names: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mots_class_ids(names, ("dog", "cat"), frozenset({0, 1}))


def test_an_id_of_zero_is_refused_as_no_id() -> None:
    with pytest.raises(InputError, match="gives no id to 'dog'"):
        mots_class_ids("dog=0", ("dog",), frozenset({0}))
