"""tools/test_video.py on BDD100K, KITTI MOTS and MOTSChallenge: from folders of pictures to scores and submissions."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from eval import evaluate
from eval.masks import find_overlaps
from eval.readers.mots import parse_mots
from vos_occ.datasets.synthetic_bdd100k import write_bdd100k
from vos_occ.datasets.synthetic_kitti_mots import write_kitti_mots
from vos_occ.results.jsonl import read_jsonl
from vos_occ.results.submission import BENCHMARKS, check_submission

FRAMES = 4
MAP = ("--class-map", "brick=car", "star=car", "ball=pedestrian", "leaf=pedestrian")
PEDESTRIANS = ("--class-map", "ball=pedestrian", "brick=pedestrian", "star=pedestrian")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools/test_video.py"
    spec = importlib.util.spec_from_file_location("test_video_tool", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`kitti_mots`, `bdd100k` and `mots_challenge` as they are unpacked, of two videos each."""
    folder = tmp_path_factory.mktemp("roots")
    world = {"height": 72, "width": 120, "num_frames": FRAMES}
    write_kitti_mots(folder / "kitti_mots", 0, 2, 1, **world)
    write_bdd100k(folder / "bdd100k", (), (0, 3), **world)
    for number, name in (("0002", "MOTS20-02"), ("0006", "MOTS20-05")):
        sequence = folder / "mots_challenge/train" / name
        (sequence / "gt").mkdir(parents=True)
        (sequence / "img1").mkdir()
        frames = sorted((folder / "kitti_mots/training/image_02" / number).iterdir())
        for t, path in enumerate(frames, start=1):
            shutil.copy(path, sequence / f"img1/{t:06d}{path.suffix}")
        lines = (folder / f"kitti_mots/instances_txt/{number}.txt").read_text().splitlines()
        moved = [f"{int(line.split()[0]) + 1} {line.split(maxsplit=1)[1]}\n" for line in lines]
        (sequence / "gt/gt.txt").write_text("".join(moved))
    return folder


@pytest.fixture
def run(tool: ModuleType, roots: Path, tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    """`test_video.py` with the tiny model, on a split of a benchmark."""
    splits = {
        "kitti_mots": ["--split", "val", "--seqmap", str(roots / "kitti_mots/val.seqmap"), *MAP],
        "bdd100k": ["--split", "valid", *MAP],
        "mots_challenge": ["--split", "train", *PEDESTRIANS],
    }

    def run(benchmark: str, *more: str, out: str = "out") -> int:
        data = ["--format", benchmark, "--data-root", str(roots / benchmark), *splits[benchmark]]
        options = ["--out", str(tmp_path / out), "--device", "cpu", "--quiet", "--score-thr", "0.05"]
        return tool.main(["-", str(tiny_checkpoint), *data, *options, *more])

    return run


@pytest.mark.parametrize("benchmark", ["kitti_mots", "mots_challenge"])
def test_mots_text_is_whole_disjoint_scored_and_ready_for_the_server(
    run: Callable, roots: Path, tmp_path: Path, benchmark: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(benchmark, "--eval") == 0
    out, said = tmp_path / "out", capsys.readouterr().out
    left = "blossom" if benchmark == "kitti_mots" else "leaf"
    assert said.splitlines()[0].startswith(f"Left out of the results, as {benchmark} has no such category")
    assert left in said.splitlines()[0] and f"Wrote {out / 'txt'}." in said
    first = 0 if benchmark == "kitti_mots" else 1
    for path in (out / "txt").iterdir():
        table = parse_mots(path.read_bytes(), path.name).table(first, FRAMES, (72, 120))
        assert len(table) and not len(find_overlaps(table)) and (table.ids // 1000 == table.categories).all()
        assert [frame.frame_index for frame in read_jsonl(out / f"jsonl/{path.stem}.jsonl").frames] == [0, 1, 2, 3]
    truth = roots / benchmark / ("instances" if benchmark == "kitti_mots" else "train")
    scores = evaluate(benchmark, truth, out / "txt", seqmap=out / "seqmap")
    assert json.loads((out / f"{benchmark}.json").read_text()) == scores.as_json() and "HOTA" in said
    assert check_submission(BENCHMARKS[benchmark], out, out / "seqmap").accepted


def test_bdd100k_is_written_in_both_forms_which_score_alike(
    run: Callable, roots: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("bdd100k", "--eval") == 0
    out, labels = tmp_path / "out", roots / "bdd100k/labels/seg_track_20"
    bitmasks = evaluate("bdd100k_mots_bitmask", labels / "bitmasks/val", out / "bitmasks")
    assert json.loads((out / "bdd100k_mots_bitmask.json").read_text()) == bitmasks.as_json()
    assert run("bdd100k", "--eval", "--resume", "--ann-file", str(labels / "rles/val")) == 0
    scalabel = json.loads((out / "bdd100k_mots.json").read_text())
    assert scalabel["summary"] == pytest.approx(bitmasks.as_json()["summary"]) and not scalabel.get("warnings")
    for form in (out, out / "bitmasks"):
        report = check_submission(BENCHMARKS["bdd100k"], form, labels / "bitmasks/val")
        assert report.accepted and report.contents["frames"] == 2 * FRAMES and report.contents["masks"] > 0
    assert "mMOTSA" in capsys.readouterr().out


def test_without_truth_a_line_says_so_and_the_frames_alone_are_enough(
    tool: ModuleType, roots: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = ["--image-root", str(roots / "kitti_mots/testing/image_02"), "--format", "kitti_mots", *MAP]
    options = ["--out", str(tmp_path / "out"), "--device", "cpu", "--quiet", "--eval"]
    assert tool.main(["-", str(tiny_checkpoint), *images, *options]) == 0
    said = capsys.readouterr()
    assert "comes without labels, so nothing is scored: tools/submit.py pack" in said.out and not said.err
    assert [path.name for path in (tmp_path / "out/txt").iterdir()] == ["0000.txt"]


def test_a_split_of_which_sequences_are_missing_is_run_with_a_warning(
    roots: Path, tiny_checkpoint: Path, tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    where = ["--split", "val", "--data-root", str(roots / "kitti_mots"), "--format", "kitti_mots"]
    out = ["--out", str(tmp_path / "out"), "--device", "cpu", "--quiet"]
    assert tool.main(["-", str(tiny_checkpoint), *where, *MAP, *out]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no frames of 7 of 9 sequences of the split (0007, 0008, 0010, 0013, 0014 and 2 more)" in line


def test_results_of_other_videos_are_not_left_to_be_submitted(
    run: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "out/txt").mkdir(parents=True)
    (tmp_path / "out/txt/0018.txt").write_text("")
    assert run("kitti_mots", "--overwrite") == 2
    assert "has results of other videos (0018.txt), which would be submitted too" in capsys.readouterr().err


def spoiled(roots: Path, tmp_path: Path) -> Path:
    """A copy of KITTI MOTS to break."""
    shutil.copytree(roots / "kitti_mots", tmp_path / "kitti_mots")
    return tmp_path / "kitti_mots"


def without_a_frame(root: Path) -> None:
    (root / "training/image_02/0006/000001.jpg").unlink()


def without_the_end(root: Path) -> None:
    (root / "training/image_02/0006/000003.jpg").unlink()


def without_a_sequence(root: Path) -> None:
    shutil.rmtree(root / "training/image_02/0006")


def without_labels(root: Path) -> None:
    shutil.rmtree(root / "instances/0006")


def with_a_broken_frame(root: Path) -> None:
    (root / "training/image_02/0002/000000.jpg").write_bytes(b"no picture")


REFUSED: dict[str, tuple[Callable[[Path], None] | None, list[str], str]] = {
    "a frame is missing": (without_a_frame, [], "lacks frame 1 of video 0006"),
    "fewer frames than the seqmap says": (without_the_end, [], "has 3 frames, but"),
    "a sequence is missing": (without_a_sequence, [], "has no frames of 0006, which"),
    "a sequence without labels, to be scored": (without_labels, ["--eval"], "has no labels of 0006. Name the videos"),
    "a frame that is no picture": (with_a_broken_frame, [], "000000.jpg"),
    "labels that are not there": (None, ["--ann-file", "absent"], "There are no labels 'absent'"),
    "a class that the model does not know": (None, ["--class-map", "dog=car"], "class_map names 'dog', but the model"),
    "a category that there is not": (
        None,
        ["--class-map", "ball=bus"],
        "class_map names 'bus', but kitti_mots has car",
    ),
    "a class map of another form": (None, ["--class-map", "ball"], "expected CLASS=CATEGORY"),
    "no class that is scored": (None, ["--class-map"], "None of the model's classes (ball, brick"),
}


@pytest.mark.parametrize(("spoil", "more", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_line_and_code_two(
    tool: ModuleType,
    roots: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None] | None,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
) -> None:
    root = roots / "kitti_mots"
    if spoil is not None:
        root = spoiled(roots, tmp_path)
        spoil(root)
    split = ["--split", "val", "--data-root", str(root), "--seqmap", str(root / "val.seqmap"), "--format", "kitti_mots"]
    given = more if "--class-map" in more else [*MAP, *more]
    out = ["--out", str(tmp_path / "out"), "--device", "cpu", "--quiet"]
    if given == ["--class-map"]:
        given = []
    assert tool.main(["-", str(tiny_checkpoint), *split, *given, *out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("test_video: ") and message in line
    assert not (tmp_path / "out").exists()


def test_a_config_says_where_the_videos_are_and_what_classes_stand_for(
    tool: ModuleType, roots: Path, tiny_checkpoint: Path, tiny_config_file: Path, tmp_path: Path
) -> None:
    root = roots / "kitti_mots"
    config = tmp_path / "config.py"
    test_dataset = {"image_root": f"{root}/training/image_02", "ann_file": f"{root}/instances_txt"}
    config.write_text(
        f"{tiny_config_file.read_text()}\nbenchmark = 'kitti_mots'\nclass_map = dict(brick='car')\n"
        f"test_dataset = {test_dataset | {'seqmap': f'{root}/val.seqmap'}!r}\n"
    )
    assert tool.main([str(config), str(tiny_checkpoint), "--out", str(tmp_path / "out"), "--eval", "--quiet"]) == 0
    assert json.loads((tmp_path / "out/run.json").read_text())["classes"] == {"brick": "car"}
    assert (tmp_path / "out/kitti_mots.json").is_file()
