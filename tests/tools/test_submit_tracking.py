"""tools/submit.py on BDD100K, KITTI MOTS and MOTSChallenge: what is good is packed, every defect is a line."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from eval import evaluate
from vos_occ.results.bdd_bitmask import BddBitmaskWriter
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.png_folder import write_png
from vos_occ.results.scalabel import ScalabelWriter, join_scalabel
from vos_occ.structures import FrameResult, rle

HEIGHT, WIDTH, FRAMES = 6, 8, 3
SEQUENCES = {"kitti_mots": ("0002", "0006"), "mots_challenge": ("MOTS20-01", "MOTS20-06"), "bdd100k": ("v1", "v2")}
FIRST = {"kitti_mots": 0, "mots_challenge": 1}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools/submit.py"
    spec = importlib.util.spec_from_file_location("submit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frame(index: int) -> FrameResult:
    """Two objects of one class, side by side; none in the second frame."""
    if index == 1:
        return FrameResult.empty(index, HEIGHT, WIDTH)
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    masks[0, 1:3, :3], masks[1, 1:3, 3:6] = True, True
    boxes = [[0, 1, 3, 3], [3, 1, 6, 3]]
    return FrameResult(index, HEIGHT, WIDTH, [1, 2], [0, 0], [0.9, 0.5], boxes, [rle.encode(mask) for mask in masks])


def code(x0: int, x1: int) -> str:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[1:3, x0:x1] = True
    return str(rle.encode(mask)["counts"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`BENCHMARK/results` and `BENCHMARK/frames`, good all of them."""
    for benchmark, names in SEQUENCES.items():
        for name in names:
            folder = tmp_path / benchmark / "frames" / name / ("img1" if benchmark == "mots_challenge" else "")
            folder.mkdir(parents=True)
            stem = f"{name}-%07d.jpg" if benchmark == "bdd100k" else "%06d.jpg"
            for t in range(FRAMES):
                picture = folder / (stem % (t + FIRST.get(benchmark, 1)))
                cv2.imwrite(str(picture), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for benchmark, first in FIRST.items():
        for name in SEQUENCES[benchmark]:
            path = tmp_path / benchmark / "results" / f"{name}.txt"
            with MotsTxtWriter(path, [2], first_frame=first) as writer:
                for t in range(FRAMES):
                    writer.write(frame(t))
    results = tmp_path / "bdd100k/results"
    shards = [tmp_path / "shards" / f"{name}.json" for name in SEQUENCES["bdd100k"]]
    for name, shard in zip(SEQUENCES["bdd100k"], shards, strict=True):
        bitmasks = BddBitmaskWriter(tmp_path / "bdd100k/bitmasks" / name, ["car"])
        with ScalabelWriter(shard, ["car"], video=name) as scalabel:
            for t in range(FRAMES):
                scalabel.write(frame(t))
                bitmasks.write(frame(t))
    join_scalabel(shards, results / "seg_track.json")
    return tmp_path


@pytest.fixture
def call(tool: ModuleType, data: Path, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, list[str]]]:
    """Code and lines on stderr of `submit.py COMMAND`, with the frames as the split unless another is named."""

    def call(command: str, results: Path, benchmark: str, *more: str) -> tuple[int, list[str]]:
        split = () if "--ann-file" in more else ("--image-root", str(data / benchmark / "frames"))
        capsys.readouterr()
        number = tool.main([command, str(results), "--benchmark", benchmark, *split, *more])
        return number, capsys.readouterr().err.splitlines()

    return call


RESULTS = {
    "kitti_mots": "kitti_mots/results",
    "mots_challenge": "mots_challenge/results",
    "bdd100k as json": "bdd100k/results/seg_track.json",
    "bdd100k as the folder of a run": "bdd100k/results",
    "bdd100k as bitmasks": "bdd100k/bitmasks",
}
PACKED = {
    "kitti_mots": ["0002.txt", "0006.txt"],
    "mots_challenge": ["MOTS20-01.txt", "MOTS20-06.txt"],
    "bdd100k": ["seg_track.json"],
    "bitmasks": [f"{v}/{v}-000000{t}.png" for v in ("v1", "v2") for t in (1, 2, 3)],
}


@pytest.mark.parametrize("form", RESULTS)
def test_good_results_are_packed_as_the_server_takes_them_and_the_zip_passes(
    call: Callable, data: Path, form: str
) -> None:
    benchmark = form.split()[0]
    out = data / "out.zip"
    assert call("pack", data / RESULTS[form], benchmark, "--out", str(out)) == (0, [])
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == PACKED["bitmasks" if "bitmasks" in form else benchmark]
    assert call("check", out, benchmark) == (0, [])
    before = out.read_bytes()
    assert call("pack", data / RESULTS[form], benchmark, "--out", str(out), "--overwrite") == (0, [])
    assert out.read_bytes() == before


def test_a_seqmap_or_labels_say_what_is_asked_for_as_well(call: Callable, data: Path) -> None:
    (data / "val.seqmap").write_text("0002 empty 000000 000002\n0006 empty 000000 000001\n")
    number, lines = call("check", data / "kitti_mots/results", "kitti_mots", "--ann-file", str(data / "val.seqmap"))
    assert (number, [line.split(":")[0] for line in lines]) == (2, ["wrong frame", "wrong frame", "submit"])
    for truth in ("bdd100k/bitmasks", "bdd100k/results/seg_track.json"):
        for results in ("bdd100k/bitmasks", "bdd100k/results"):
            assert call("check", data / results, "bdd100k", "--ann-file", str(data / truth)) == (0, [])


Spoil = Callable[[Path], Any]


def text(name: str, old: str, new: str) -> Spoil:
    """Another first occurrence of `old` in a text file of KITTI MOTS."""

    def spoil(data: Path) -> None:
        path = data / "kitti_mots/results" / name
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))

    return spoil


def labels(change: Callable[[list[dict]], Any]) -> Spoil:
    """Other frames of v1 in seg_track.json; the first and the last have two labels."""

    def spoil(data: Path) -> None:
        path = data / "bdd100k/results/seg_track.json"
        frames = json.loads(path.read_text())
        change(frames)
        path.write_text(json.dumps(frames))

    return spoil


def picture(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """Another first bitmask of v1, (H, W, 4) RGBA."""

    def spoil(data: Path) -> None:
        path = data / "bdd100k/bitmasks/v1/v1-0000001.png"
        write_png(path, change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :, [2, 1, 0, 3]]))

    return spoil


def painted(channel: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    """All objects get this value in a channel."""

    def change(image: np.ndarray) -> np.ndarray:
        image[image[:, :, 0] > 0, channel] = value
        return image

    return change


LEFT, RIGHT = code(0, 3), code(3, 6)
# name: results, what is done to them, kind of the defect, what its line says
DEFECTS: dict[str, tuple[str, Spoil, str, str]] = {
    "text: overlapping masks": (
        "kitti_mots",
        text("0002.txt", RIGHT, code(2, 6)),
        "overlap",
        "0002.txt, line 2: the masks of ids 2001 and 2002 overlap in this frame",
    ),
    "text: id over 65535": (
        "kitti_mots",
        text("0002.txt", "0 2001", "0 65536"),
        "wrong id",
        "0002.txt, line 1: the id is 65536, expected 1 to 65535",
    ),
    "text: id 0": ("kitti_mots", text("0002.txt", "0 2001", "0 0"), "wrong id", "line 1: the id is 0, expected 1"),
    "text: an id twice": (
        "kitti_mots",
        text("0002.txt", "0 2002", "0 2001"),
        "repeated id",
        "line 2: id 2001 occurs twice in this frame",
    ),
    "text: frames from 1": (
        "kitti_mots",
        text("0006.txt", "\n2 2002", "\n3 2002"),
        "wrong frame",
        "0006.txt, line 4: the frame is 3, expected 0 to 2",
    ),
    "text: unknown category": (
        "kitti_mots",
        text("0002.txt", "2001 2 ", "2001 3 "),
        "unknown category",
        "line 1: the class is 3, expected 1 (car), 2 (pedestrian)",
    ),
    "text: wrong size": (
        "kitti_mots",
        text("0002.txt", " 6 8 ", " 8 6 "),
        "wrong size",
        "line 1: the mask is 8 x 6 (height x width), expected 6 x 8",
    ),
    "text: a mask that is cut off": (
        "kitti_mots",
        text("0002.txt", LEFT, LEFT[:-1]),
        "wrong mask",
        "0002.txt, line 1: the mask ",
    ),
    "text: too few fields": (
        "kitti_mots",
        text("0006.txt", "\n2 2001 2", "\n2001 2"),
        "unreadable",
        "0006.txt, line 3: expected 'frame id class height width counts', found 5 fields",
    ),
    "text: a sequence is missing": (
        "kitti_mots",
        lambda data: (data / "kitti_mots/results/0006.txt").unlink(),
        "missing video",
        "has no results of '0006'. Run it too, or allow that videos are missing",
    ),
    "text: an unknown sequence": (
        "kitti_mots",
        lambda data: (data / "kitti_mots/results/0003.txt").write_text(""),
        "unknown video",
        "has results of '0003', which the split does not have; it has 0002, 0006",
    ),
    "text: a car where there are pedestrians alone": (
        "mots_challenge",
        lambda data: (data / "mots_challenge/results/MOTS20-01.txt").write_text(f"1 1001 1 6 8 {LEFT}\n"),
        "unknown category",
        "MOTS20-01.txt, line 1: the class is 1, expected 2 (pedestrian)",
    ),
    "json: overlapping masks": (
        "bdd100k",
        labels(lambda frames: frames[2]["labels"][1]["rle"].update(counts=code(2, 6))),
        "overlap",
        "seg_track.json, video v1, frame 2: the masks of ids 1 and 2 overlap",
    ),
    "json: id over 65535": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][0].update(id="65536")),
        "wrong id",
        "video v1, frame 0: the id is 65536, expected 1 to 65535",
    ),
    "json: id that is no number": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][0].update(id="car-1")),
        "wrong id",
        "frame 0: the id is 'car-1', expected a number as text",
    ),
    "json: an id twice": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][0].update(id="2")),
        "repeated id",
        "frame 0: id 2 occurs twice",
    ),
    "json: frames missing": (
        "bdd100k",
        labels(lambda frames: frames.pop(1)),
        "missing frame",
        "seg_track.json, video v1 has no frame 1. Write every frame, with labels [] if empty",
    ),
    "json: a frame twice": (
        "bdd100k",
        labels(lambda frames: frames.append(frames[1])),
        "wrong frame",
        "[6].frameIndex is 1, as that of [1]",
    ),
    "json: a frame too many": (
        "bdd100k",
        labels(lambda frames: frames.append(frames[1] | {"frameIndex": 3})),
        "wrong frame",
        "frameIndex is 3, but the video has frames 0 to 2",
    ),
    "json: no frameIndex": (
        "bdd100k",
        labels(lambda frames: frames[0].pop("frameIndex")),
        "wrong frame",
        "[0].frameIndex is missing",
    ),
    "json: unknown category": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][1].update(category="boat")),
        "unknown category",
        '[0].labels[1].category is "boat", expected one of pedestrian, rider, car',
    ),
    "json: a category that is no text": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][1].update(category=["car"])),
        "unknown category",
        '[0].labels[1].category is ["car"]',
    ),
    "json: wrong size": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][1]["rle"].update(size=[8, 6])),
        "wrong label",
        "[0].labels[1].rle.size is [8, 6], but the masks of this video have [height, width] [6, 8]",
    ),
    "json: boxes alone": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][1].pop("rle")),
        "wrong label",
        "[0].labels[1].rle is missing",
    ),
    "json: a mask that is cut off": (
        "bdd100k",
        labels(lambda frames: frames[0]["labels"][0]["rle"].update(counts=LEFT[:-1])),
        "wrong mask",
        "frame 0: the mask ",
    ),
    "json: cut off": (
        "bdd100k",
        lambda data: (data / "bdd100k/results/seg_track.json").write_text('[{"videoName": "v1", "frameInd'),
        "unreadable",
        "is not valid JSON",
    ),
    "json: an unknown video": (
        "bdd100k",
        labels(lambda frames: frames.append(frames[1] | {"videoName": "v3"})),
        "unknown video",
        "seg_track.json has results of 'v3'",
    ),
    "json: a video is missing": (
        "bdd100k",
        labels(lambda frames: frames.__delitem__(slice(3, 6))),
        "missing video",
        "seg_track.json has no results of 'v2'",
    ),
    "json: nothing in it": (
        "bdd100k",
        labels(lambda frames: [one.update(labels=[]) for one in frames]),
        "empty",
        "seg_track.json has no label. Was the score threshold too high",
    ),
    "png: grey": (
        "bitmasks",
        picture(lambda image: image[:, :, 0]),
        "wrong picture",
        "'v1/v1-0000001.png' is of mode L, expected RGBA of 8 bits",
    ),
    "png: without alpha": ("bitmasks", picture(lambda image: image[:, :, :3]), "wrong picture", "is of mode RGB,"),
    "png: wrong size": (
        "bitmasks",
        picture(lambda image: image[:-1]),
        "wrong size",
        "'v1/v1-0000001.png' has 5 x 8 pixels (height x width), expected 6 x 8",
    ),
    "png: no picture": (
        "bitmasks",
        lambda data: (data / "bdd100k/bitmasks/v1/v1-0000001.png").write_bytes(b"GIF89a"),
        "wrong picture",
        "'v1/v1-0000001.png' cannot be read as PNG: it is no image in PNG format",
    ),
    "png: unknown category": (
        "bitmasks",
        picture(painted(0, 9)),
        "unknown category",
        "'v1/v1-0000001.png': instance 1 has category 9, expected 1 to 8",
    ),
    "png: the first track is 0": (
        "bitmasks",
        picture(painted(3, 0)),
        "wrong id",
        "'v1/v1-0000001.png' has pixels of category 3 and instance 0, which is background",
    ),
    "png: frames missing": (
        "bitmasks",
        lambda data: (data / "bdd100k/bitmasks/v2/v2-0000003.png").unlink(),
        "missing frame",
        "There is no 'v2/v2-0000003.png'",
    ),
    "png: frames from 0": (
        "bitmasks",
        lambda data: (data / "bdd100k/bitmasks/v2/v2-0000003.png").rename(data / "bdd100k/bitmasks/v2/v2-0000000.png"),
        "unknown frame",
        "'v2/v2-0000000.png' is of no frame of the video. Remove it, or name it like the frame, such as 'v2-0000001",
    ),
}


@pytest.mark.parametrize(("benchmark", "spoil", "kind", "message"), DEFECTS.values(), ids=DEFECTS.keys())
def test_each_defect_is_a_line_and_code_two(
    call: Callable, data: Path, benchmark: str, spoil: Spoil, kind: str, message: str
) -> None:
    spoil(data)
    results = data / ("bdd100k/bitmasks" if benchmark == "bitmasks" else f"{benchmark}/results")
    server = "bdd100k" if benchmark == "bitmasks" else benchmark
    number, lines = call("pack", results, server, "--out", str(data / "out.zip"))
    told = [line for line in lines if line.startswith(f"{kind}: ") and message in line]
    assert number == 2 and len(told) == 1, lines
    assert lines[-1].endswith("Nothing was packed.") and not (data / "out.zip").exists()


def test_every_defect_is_told_not_the_first_alone(call: Callable, data: Path) -> None:
    for name in ("text: id 0", "text: unknown category", "text: frames from 1", "text: an unknown sequence"):
        DEFECTS[name][1](data)
    number, lines = call("check", data / "kitti_mots/results", "kitti_mots")
    assert number == 2 and lines[-1].endswith("has 4 defects.")
    kinds = [line.split(":")[0] for line in lines]
    assert kinds == ["unknown video", "unknown category", "wrong id", "wrong frame", "submit"]


def zipped(data: Path, names: dict[str, Path]) -> Path:
    with zipfile.ZipFile(data / "sent.zip", "w") as archive:
        for name, path in names.items():
            archive.write(path, name)
    return data / "sent.zip"


def test_a_zip_with_a_folder_around_it_or_a_zip_in_it_or_cut_off_is_refused(call: Callable, data: Path) -> None:
    good = {f"{name}.txt": data / f"kitti_mots/results/{name}.txt" for name in SEQUENCES["kitti_mots"]}
    sent = zipped(data, {f"results/{name}": path for name, path in good.items()})
    _, lines = call("check", sent, "kitti_mots")
    assert lines[0] == (
        f"nested zip: '{sent}' holds 'results/0002.txt', expected '0002.txt' at its root, in no folder. "
        "Zip what is inside."
    )
    inner = sent.rename(data / "inner.zip")
    _, lines = call("check", zipped(data, {"inner.zip": inner}), "kitti_mots")
    assert "holds another zip, 'inner.zip'. Zip the files themselves." in lines[0]
    sent = zipped(data, good)
    sent.write_bytes(sent.read_bytes()[:-30])
    number, lines = call("check", sent, "kitti_mots")
    assert number == 2 and lines[0].startswith("broken zip: ") and "no whole zip" in lines[0]
    pictures = {f"bitmasks/v1/v1-000000{t}.png": data / f"bdd100k/bitmasks/v1/v1-000000{t}.png" for t in (1, 2, 3)}
    _, lines = call("check", zipped(data, pictures), "bdd100k")
    assert "holds 'bitmasks/v1/v1-0000001.png', expected 'v1/v1-0000001.png' with no folder around it" in lines[0]
    both = {
        "seg_track.json": data / "bdd100k/results/seg_track.json",
        "v1/v1-0000001.png": next(iter(pictures.values())),
    }
    _, lines = call("check", zipped(data, both), "bdd100k")
    assert lines[0].startswith("mixed: the submission holds 1 .json and 1 .png files")


def test_a_video_without_results_is_let_pass_if_asked_for(call: Callable, data: Path) -> None:
    (data / "kitti_mots/results/0006.txt").unlink()
    number, lines = call("check", data / "kitti_mots/results", "kitti_mots", "--allow-missing")
    assert (number, len(lines)) == (0, 1) and "no results of 1 of 2 videos (0006)" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "kitti_mots"], "Name either --ann-file, or --split and --data-root, or --image-root."),
        (["--benchmark", "ovis", "--image-root", "x"], "What OVIS asks for is in a json: name it with --ann-file"),
        (["--benchmark", "bdd100k", "--ann-file", "absent"], "There is no file or folder 'absent'"),
        (["--benchmark", "bdd100k", "--split", "val", "--data-root", "absent"], "There is no folder 'absent'"),
        (["--benchmark", "kitti_mots", "--image-root", "absent"], "There is no folder 'absent'"),
    ],
)
def test_a_split_that_is_not_there_is_one_line(
    tool: ModuleType, data: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    results = data / ("bdd100k/results" if "bdd100k" in arguments else "kitti_mots/results")
    assert tool.main(["check", str(results), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("submit: ") and message in line


def test_what_passes_is_what_the_evaluators_take(data: Path) -> None:
    """Ground truth as a submission scores 1."""
    bitmasks, scalabel = data / "bdd100k/bitmasks", data / "bdd100k/results/seg_track.json"
    for protocol, path in (("bdd100k_mots_bitmask", bitmasks), ("bdd100k_mots", scalabel)):
        scores = evaluate(protocol, path, path)
        assert scores.classes["car"]["MOTSA"] == scores.classes["car"]["IDF1"] == 1
    for benchmark in FIRST:
        path = data / benchmark / "results"
        assert evaluate(benchmark, path, path).classes["pedestrian"]["HOTA"] == 1
