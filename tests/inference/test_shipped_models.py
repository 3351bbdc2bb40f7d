"""The checkpoints that come with the package: complete, small, described, and as good as their cards say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eval.readers.ytvis import read_ytvis
from vos_occ.checkpoints.files import file_sha256, load_checkpoint
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld, write_dataset
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.load import checkpoint_path, load, shipped
from vos_occ.inference.session import VideoSession
from vos_occ.scoring import score_dataset

NAMES = ("person", "synthetic")


def test_both_models_ship() -> None:
    assert set(NAMES) <= set(shipped())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_one_small_file_that_needs_no_config(name: str) -> None:
    path = checkpoint_path(name)
    assert path.stat().st_size <= 15e6
    checkpoint = load_checkpoint(path)
    assert checkpoint.config_text and checkpoint.classes
    assert checkpoint.metadata["trained_on"], "the file says what it was trained on"
    assert "work_dirs" not in checkpoint.config_text and "data/" not in checkpoint.config_text


@pytest.mark.parametrize("name", NAMES)
def test_the_model_card_names_this_very_file_and_leaves_nothing_open(name: str) -> None:
    path = checkpoint_path(name)
    card = path.with_suffix(".md").read_text()
    assert file_sha256(path) in card
    assert not re.search(r"\{\{.*?\}\}", card)
    root = Path(__file__).parents[2]
    for config in re.findall(r"`(configs/\S+?\.py)`", card):
        assert (root / config).is_file(), config


def test_the_person_model_knows_people_and_the_synthetic_model_its_world() -> None:
    assert load("person").classes == ("person",)
    assert load("synthetic").classes == CLASSES


def test_the_synthetic_model_says_who_hides_whom_in_a_held_back_video() -> None:
    session = VideoSession(load("synthetic", device="cpu"))
    frames = list(SyntheticWorld("heldout").video(5))[:4]
    results = [result for frame in frames for result in session.step(frame.image)]
    assert any(len(result) for result in results)
    last = results[-1]
    assert last.hidden is not None and last.order is not None
    assert ((last.hidden >= 0) & (last.hidden <= 1)).all()


@pytest.mark.slow
def test_the_synthetic_model_scores_on_held_back_videos(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", "heldout", range(3))
    dataset = read_ytvis(tmp_path / "data" / "annotations_ytvis.json")
    run_dataset(load("synthetic", device="cpu"), dataset, tmp_path / "data" / "frames", tmp_path / "out")
    scores = score_dataset(dataset, tmp_path / "out")
    # far below what these videos gave when the model was trained: this finds a broken model, not a worse one
    assert scores.tube_ap is not None and scores.tube_ap > 0.2
    assert scores.identity.idf1 > 0.5
    assert scores.hidden is not None and scores.hidden.mae < scores.hidden.baseline_mae
    assert scores.order is not None and scores.order.correct > scores.order.baseline_correct
