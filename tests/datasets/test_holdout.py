from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.readers.ytvis import read_ytvis
from vos_occ.datasets.holdout import split_videos, wanted
from vos_occ.datasets.synthetic_ovis import write_ovis
from vos_occ.structures.errors import InputError

TOOL = Path(__file__).parents[2] / "tools" / "split_dataset.py"
LABEL = st.tuples(st.integers(1, 4), st.sampled_from(["", "slight", "heavy"]))
VIDEOS = st.lists(st.sets(LABEL, max_size=4), min_size=2, max_size=14).map(lambda found: dict(enumerate(found)))


def one_sided(labels, split) -> set[int]:
    """Categories of two videos or more that only one part shows."""
    parts = [{c for v in part for c, level in labels[v] if not level} for part in (split.train, split.holdout)]
    several = [c for c in range(1, 5) if sum((c, "") in found for found in labels.values()) > 1]
    return {c for c in several if (c in parts[0]) != (c in parts[1])}


@given(VIDEOS, st.floats(0.05, 0.95), st.integers(0, 3))
def test_every_video_is_in_exactly_one_part(labels, share: float, seed: int) -> None:
    split = split_videos(labels, share, seed)
    assert split.train | split.holdout == set(labels)
    assert not split.train & split.holdout
    assert split.train
    assert split.holdout
    assert split == split_videos(labels, share, seed)


@given(VIDEOS, st.floats(0.05, 0.5))
def test_no_single_move_brings_another_class_into_both_parts(labels, share: float) -> None:
    split = split_videos(labels, share)
    for video in labels:
        train, holdout = split.train ^ {video}, split.holdout ^ {video}
        if train and holdout:
            moved = type(split)(frozenset(train), frozenset(holdout))
            assert len(one_sided(labels, moved)) >= len(one_sided(labels, split))


def test_classes_and_levels_are_spread_by_share() -> None:
    """Forty videos of two classes, a quarter of each heavily occluded: a fifth of each goes to the hold-out."""
    labels = {v: {(v % 2, ""), (v % 2, "heavy" if v % 8 < 2 else "slight")} for v in range(40)}
    held = split_videos(labels, 0.2, seed=1).holdout
    assert len(held) == 8
    for label in [(0, ""), (1, ""), (0, "heavy"), (1, "heavy")]:
        count = sum(label in found for found in labels.values())
        assert abs(sum(label in labels[v] for v in held) - wanted(count, 0.2)) <= 1


def test_a_class_of_two_videos_is_in_both_parts() -> None:
    labels = {v: {(1, "")} for v in range(30)} | {30: {(2, "")}, 31: {(2, "")}}
    assert len(split_videos(labels, 0.1).holdout & {30, 31}) == 1


@pytest.mark.parametrize(("count", "share", "message"), [(1, 0.5, "There are 1 videos"), (3, 1.0, "between 0 and 1")])
def test_what_cannot_be_split_is_refused(count: int, share: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_videos({v: set() for v in range(count)}, share)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("script_split_dataset", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ovis")
    write_ovis(path, train=range(6), valid=(0,), height=64, width=96, num_frames=3)
    return path


def test_both_files_hold_the_records_as_they_were(tool, folder: Path, tmp_path: Path, capsys) -> None:
    source = json.loads((folder / "annotations_train.json").read_text()) | {
        "info": {"year": 2026},
        "licenses": [{"a": 1}],
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(source, indent=1))
    assert tool.main([str(path), "--out", str(tmp_path), "--holdout", "0.34"]) == 0
    parts = [json.loads((tmp_path / f"mine_{name}.json").read_text()) for name in ("kept", "holdout")]
    assert [len(part["videos"]) for part in parts] == [4, 2]
    for name in ("videos", "annotations"):
        assert sorted(parts[0][name] + parts[1][name], key=lambda r: r["id"]) == source[name]
    for part in parts:
        assert {name: part[name] for name in ("info", "licenses", "categories")} == {
            name: source[name] for name in ("info", "licenses", "categories")
        }
    held = read_ytvis(tmp_path / "mine_holdout.json")
    assert {track.video_id for track in held.tracks} <= {video.id for video in held.videos}
    assert "4 / 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("annotations_valid.json", [], "has no annotations to score against"),
        ("annotations_train.json", ["--holdout", "2"], "must lie between 0 and 1, found 2.0"),
        ("nothing.json", [], "There is no file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tool, folder, tmp_path, name, options, message, capsys) -> None:
    assert tool.main([str(folder / name), "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
