from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from eval import evaluate
from eval.readers.ytvis import read_ytvis
from vos_occ.datasets.synthetic_ovis import write_ovis
from vos_occ.structures.errors import OutputExistsError

TOOL = Path(__file__).parents[2] / "tools" / "make_synthetic_data.py"
WORLD = {"height": 72, "width": 120, "num_frames": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ovis")
    write_ovis(path, train=(0,), valid=range(4), **WORLD)
    return path


def test_files_and_folders_are_those_of_ovis(folder: Path) -> None:
    names = {"annotations_train.json", "annotations_valid.json", "annotations_valid_full.json", "train", "valid"}
    assert {path.name for path in folder.iterdir()} == names
    for split, root in (("train", "train"), ("valid", "valid"), ("valid_full", "valid")):
        for video in read_ytvis(folder / f"annotations_{split}.json").videos:
            assert video.file_names[0] == f"{video.name}/img_0000001.jpg"
            assert all((folder / root / name).is_file() for name in video.file_names)


def test_published_validation_annotations_are_null_and_the_local_copy_has_them(folder: Path) -> None:
    assert json.loads((folder / "annotations_valid.json").read_text())["annotations"] is None
    published, full = (read_ytvis(folder / f"annotations_{name}.json") for name in ("valid", "valid_full"))
    assert not published.has_annotations
    assert full.tracks
    assert published.videos == full.videos


def test_the_evaluator_finds_all_three_levels_of_occlusion(folder: Path, tmp_path: Path) -> None:
    truth = read_ytvis(folder / "annotations_valid_full.json")
    found = [
        {"video_id": t.video_id, "category_id": t.category_id, "score": 1.0, "segmentations": t.segmentations}
        for t in truth.tracks
    ]
    (tmp_path / "results.json").write_text(json.dumps(found))
    summary = evaluate("ovis", truth.path, tmp_path / "results.json").summary
    assert [summary[name] for name in ("AP", "AP_so", "AP_mo", "AP_ho")] == [1, 1, 1, 1]


def test_no_annotations_are_replaced_unasked(folder: Path) -> None:
    with pytest.raises(OutputExistsError, match=r"annotations_valid.json' already exists"):
        write_ovis(folder, train=(), valid=(7,), **WORLD)


def test_the_tool_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    spec = importlib.util.spec_from_file_location("make_synthetic_data", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    arguments = ["--format", "ovis", "--out", str(tmp_path), "--train", "1", "--heldout", "0"]
    assert tool.main(arguments) == 0
    assert len(list((tmp_path / "train" / "train_00000").iterdir())) == 30
    assert tool.main(arguments) == 2
    assert "annotations_train.json' already exists" in capsys.readouterr().err
