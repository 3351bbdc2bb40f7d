from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vos_occ.inference.demo import main, parse_arguments, wanted_labels
from vos_occ.media import VideoWriter, open_video
from vos_occ.results.jsonl import read_jsonl


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, tiny_frames: list[np.ndarray]) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    height, width = tiny_frames[0].shape[:2]
    with VideoWriter(path, 10, width, height) as writer:
        for frame in tiny_frames[:4]:
            writer.write(frame)
    return path


@pytest.fixture
def run(video: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch):
    """Runs the command on the tiny video in an empty folder; answers with its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, source: Path = video) -> int:
        return main([str(source), "--checkpoint", str(tiny_checkpoint), "--quiet", *options])

    return run


@pytest.fixture(scope="module")
def written(video: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    options = ["--out", "o.mp4", "--json", "deep/r.jsonl", "--masks", "masks", "--mot", "m.txt", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([str(video), "--checkpoint", str(tiny_checkpoint), *options]) == 0
    return folder


def test_the_json_lines_hold_the_video(written: Path, tiny_checkpoint: Path) -> None:
    results = read_jsonl(written / "deep" / "r.jsonl")
    header = results.header
    assert (header.video, header.width, header.height, header.fps, header.frames) == ("clip.mp4", 200, 120, 10, 4)
    assert (header.model, len(header.checkpoint_sha256)) == ("tiny", 64)
    assert [frame.frame_index for frame in results.frames] == [0, 1, 2, 3]
    assert results.times == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-6)
    assert sum(len(frame) for frame in results.frames) > 8
    assert all(frame.hidden is not None for frame in results.frames if len(frame))


def test_the_overlay_plays_and_shows_something(written: Path, video: Path) -> None:
    with open_video(written / "o.mp4") as overlay, open_video(video) as plain:
        pairs = list(zip(overlay, plain, strict=True))
        scale = overlay.width // plain.width
    assert len(pairs) == 4
    for drawn, frame in pairs:
        enlarged = frame.image.repeat(scale, 0).repeat(scale, 1).astype(int)
        assert drawn.image.shape == enlarged.shape
        assert np.abs(drawn.image - enlarged).mean() > 2


def test_the_mask_images_hold_the_tracks_of_the_json_lines(written: Path) -> None:
    frames = read_jsonl(written / "deep" / "r.jsonl").frames
    images = sorted((written / "masks").iterdir())
    assert [path.name for path in images] == [f"{t:06d}.png" for t in range(4)]
    for path, frame in zip(images, frames, strict=True):
        values = np.unique(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        assert {int(value) % 1000 for value in values if value} <= set(frame.track_ids.tolist())


def test_the_mot_lines_hold_the_boxes_of_the_json_lines(written: Path) -> None:
    frames = read_jsonl(written / "deep" / "r.jsonl").frames
    rows = [line.split(",") for line in (written / "m.txt").read_text().splitlines()]
    assert len(rows) == sum(len(frame) for frame in frames)
    assert {int(row[0]) for row in rows} <= {1, 2, 3, 4}


def test_the_summary_counts_frames_and_tracks(run, capsys: pytest.CaptureFixture) -> None:
    assert run() == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("4 frames, ")
    assert captured.out.endswith(" tracks. Wrote clip_vos_occ.mp4.\n")
    assert captured.err == ""


def test_existing_outputs_are_refused_and_kept(run, capsys: pytest.CaptureFixture) -> None:
    Path("o.mp4").write_bytes(b"mine")
    assert run("--out", "o.mp4", "--json", "r.jsonl") == 2
    error = "vos-occ-demo: Output file 'o.mp4' already exists. Use --overwrite to replace.\n"
    assert capsys.readouterr().err == error
    assert Path("o.mp4").read_bytes() == b"mine"
    assert not Path("r.jsonl").exists()


def test_overwrite_replaces_them(run) -> None:
    Path("o.mp4").write_bytes(b"mine")
    assert run("--out", "o.mp4", "--overwrite") == 0
    assert Path("o.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    "options",
    [["--out", "{video}", "--overwrite"], ["--json", "{video}", "--overwrite"]],
    ids=["overlay over its input", "json over the input"],
)
def test_the_input_is_never_written_over(run, video: Path, options: list[str], capsys: pytest.CaptureFixture) -> None:
    before = video.read_bytes()
    assert run(*(option.format(video=video) for option in options)) == 2
    assert "Choose another place" in capsys.readouterr().err
    assert video.read_bytes() == before


def test_masks_do_not_go_among_the_frames_that_are_read(run, tiny_frames: list[np.ndarray]) -> None:
    folder = Path("frames")
    folder.mkdir()
    for t in range(2):
        cv2.imwrite(f"frames/{t:06d}.png", tiny_frames[t])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for options in (["--masks", "frames"], ["--out", "frames/o.mp4"]):
        assert run(*options, "--overwrite", source=folder) == 2
    assert run("--masks", "frames", "--overwrite", source=folder / "000000.png") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_classes_keep_their_own_only(run) -> None:
    assert run("--json", "all.jsonl") == 0
    labels = {int(label) for frame in read_jsonl("all.jsonl").frames for label in frame.labels}
    kept = read_jsonl("all.jsonl").header.classes[min(labels)]
    assert len(labels) > 1
    assert run("--json", "one.jsonl", "--out", "one.mp4", "--classes", kept) == 0
    assert {int(label) for frame in read_jsonl("one.jsonl").frames for label in frame.labels} == {min(labels)}


def test_without_occlusion_nothing_is_said_of_it(run) -> None:
    assert run("--json", "r.jsonl", "--no-occlusion") == 0
    records = [json.loads(line) for line in Path("r.jsonl").read_text().splitlines()[1:]]
    objects = [thing for record in records for thing in record["objects"]]
    assert objects
    assert all(thing["hidden"] is None and thing["occluder"] is None and not thing["hidden_by"] for thing in objects)


def test_a_score_of_one_leaves_frames_without_detections(run) -> None:
    assert run("--json", "r.jsonl", "--masks", "masks", "--mot", "m.txt", "--score-thr", "1") == 0
    assert [len(frame) for frame in read_jsonl("r.jsonl").frames] == [0] * 4
    assert len(list(Path("masks").iterdir())) == 4
    assert Path("m.txt").read_text() == ""


def test_the_overlay_of_a_folder_is_named_after_it(run, tiny_frames: list[np.ndarray], monkeypatch) -> None:
    Path("street.day2").mkdir()
    cv2.imwrite("street.day2/1.png", tiny_frames[0])
    Path("here").mkdir()
    monkeypatch.chdir("here")
    assert run(source=Path("../street.day2")) == 0
    assert [path.name for path in Path().iterdir()] == ["street_vos_occ.mp4"]


def test_max_side_scales_frames_and_results(run) -> None:
    assert run("--json", "r.jsonl", "--max-side", "100") == 0
    header = read_jsonl("r.jsonl").header
    assert (header.width, header.height) == (100, 60)


def test_a_single_image_works(run, tiny_frames: list[np.ndarray]) -> None:
    cv2.imwrite("one.png", tiny_frames[0])
    assert run("--json", "r.jsonl", source=Path("one.png")) == 0
    assert len(read_jsonl("r.jsonl")) == 1


def test_a_config_and_checkpoint_of_ones_own(run, tiny_config_file: Path) -> None:
    assert run("--config", str(tiny_config_file), "--json", "r.jsonl") == 0


def test_what_was_written_before_an_error_is_kept(run, tiny_frames: list[np.ndarray], capsys) -> None:
    Path("frames").mkdir()
    for t in range(3):
        cv2.imwrite(f"frames/{t}.png", tiny_frames[t][: 100 if t == 2 else None])
    assert run("--json", "r.jsonl", "--out", "o.mp4", source=Path("frames")) == 2
    assert "frames/2.png is 200x100" in capsys.readouterr().err
    assert len(read_jsonl("r.jsonl")) == 2
    with open_video("o.mp4") as overlay:
        assert len(list(overlay)) == 2


def test_person_is_the_model_that_nobody_has_to_name() -> None:
    assert parse_arguments(["x.mp4"]).preset == "person"


def test_help_does_not_wait_for_the_model_stack() -> None:
    code = "import sys, vos_occ.inference.demo; sys.exit('mmdet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("names", "labels"),
    [(None, {0, 1, 2}), ("cat", {1}), ("dog, bird", {0, 2}), ("cat,cat", {1})],
    ids=["all", "one", "two with a blank", "twice"],
)
def test_class_names_become_labels(names: str | None, labels: set[int]) -> None:
    assert wanted_labels(names, ("dog", "cat", "bird")) == labels


def test_every_output_has_an_option(run) -> None:
    options = "--csv o.csv --mots mots.txt --mask-ids ids --mask-tracks tracks --npz o.npz --contact-sheet o.png"
    assert run(*options.split(), "--masks", "mots") == 0
    names = ["clip_vos_occ.mp4", "ids", "mots", "mots.txt", "o.csv", "o.npz", "o.png", "tracks"]
    assert sorted(path.name for path in Path().iterdir()) == names


def test_mots_class_ids_go_into_both_mots_files(run, capsys: pytest.CaptureFixture) -> None:
    assert run("--mots-class", "dragon=2") == 2
    assert "'dragon' of --mots-class is not one of this model's" in capsys.readouterr().err
    assert run("--json", "all.jsonl", "--overwrite") == 0
    names = read_jsonl("all.jsonl").header.classes
    ids = ",".join(f"{name}={40 + i}" for i, name in enumerate(names))
    assert run("--masks", "mots", "--mots", "mots.txt", "--mots-class", ids, "--overwrite") == 0
    in_text = {int(line.split()[2]) for line in Path("mots.txt").read_text().splitlines()}
    pictures = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in Path("mots").iterdir()]
    in_pictures = {int(value) // 1000 for picture in pictures for value in np.unique(picture) if value}
    assert in_text == in_pictures and min(in_text) >= 40
