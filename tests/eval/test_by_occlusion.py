"""Tracking by occlusion: hand-made videos, totals of the evaluators on random ones, and the protocols' files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from eval.by_occlusion import (
    FLAG_SCALE,
    KITTI_SCALE,
    NO_MASK,
    RATE_SCALE,
    MatchedObjects,
    OcclusionCounts,
    by_occlusion,
    occlusion_rows,
    rate_levels,
)
from eval.clear import breaks, clear, clear_matches
from eval.errors import RequestError
from eval.evaluation import evaluate
from eval.motmetrics_accumulator import accumulate, fragmented, match
from eval.scores import Scores
from eval.sequences import FramePair, TrackingSequence
from vos_occ.structures import occlusion_level

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
KITTI = SHARED / "data" / "kitti_mots_gt"
SCALABEL = SHARED / "fixtures" / "scalabel_seg_track"
needs_kitti = pytest.mark.skipif(not KITTI.exists(), reason=f"no ground truth of KITTI MOTS at {KITTI}")
needs_scalabel = pytest.mark.skipif(not SCALABEL.exists(), reason=f"no BDD100K sample at {SCALABEL}")

PERSON, HEIGHT, WIDTH = 2, 4, 6


def trackeval_matches(sequence: TrackingSequence) -> MatchedObjects:
    matches = clear_matches(sequence)
    return MatchedObjects(sequence.gt[matches], sequence.similarity[matches], *breaks(sequence, matches))


def motmetrics_matches(sequence: TrackingSequence) -> MatchedObjects:
    found = match(sequence)
    return MatchedObjects(found.gt, 1 - found.distance, found.switch, fragmented(sequence, found))


def video(truth: str, found: str) -> tuple[TrackingSequence, np.ndarray]:
    """One object: its level in each frame ('.' no mask), and the id that it is found with ('.' not found).

    Something else is predicted in every frame: TrackEval leaves frames without predictions out.
    """
    frames, levels = [], []
    for level, name in zip(truth, found, strict=True):
        gt_ids = [] if level == "." else [5]
        pred_ids = [99] if name == "." else [99, ord(name)]
        levels += [] if level == "." else [int(level)]
        frames.append(
            FramePair(np.array(gt_ids), np.array(pred_ids), np.array([[0.0, 0.75][: len(pred_ids)]] * len(gt_ids)))
        )
    return TrackingSequence.from_frames(frames), np.array(levels, np.int64)


def scored(truth: str, found: str) -> dict:
    sequence, levels = video(truth, found)
    return by_occlusion(sequence, trackeval_matches(sequence), levels, KITTI_SCALE).rows()


@pytest.mark.parametrize(
    ("situation", "truth", "found", "gaps", "switched", "outside"),
    [
        ("another id after it was hidden", "00220", "aa..b", 1, 1, (1, 0)),
        ("its own id after it was hidden", "00220", "aa..a", 1, 0, (1, 0)),
        ("another id though never hidden", "0000", "aabb", 0, 0, (3, 1)),
        ("missed while visible, another id", "0000", "a..b", 0, 0, (1, 1)),
        ("missed while partly hidden", "0110", "a..b", 0, 0, (1, 1)),
        ("missed while hidden and while visible", "02000", "a...b", 1, 1, (0, 0)),
        ("found all along while hidden", "0220", "aaaa", 0, 0, (3, 0)),
        ("another id while found in hiding", "0220", "aabb", 0, 0, (3, 1)),
        ("not in the ground truth for a while", "00..0", "aa..b", 1, 1, (1, 0)),
        ("never found again", "00222", "aa...", 0, 0, (1, 0)),
        ("hidden before it was first found", "2200", "..ab", 0, 0, (1, 1)),
        ("two gaps, back to the first id", "02020", "a.b.a", 2, 2, (0, 0)),
        ("unknown is not hidden", "0330", "a..b", 0, 0, (1, 1)),
    ],
)
def test_a_link_spans_a_gap_if_the_object_was_hidden_in_between(situation, truth, found, gaps, switched, outside):
    rows = scored(truth, found)
    assert (rows["across a gap"]["links"], rows["across a gap"]["switched"]) == (gaps, switched), situation
    assert (rows["without a gap"]["links"], rows["without a gap"]["switched"]) == outside, situation


def test_errors_fall_where_the_object_is_matched_again_and_links_on_the_worst_level_gone_through():
    rows = scored("01220", "aa..b")
    assert rows["0 visible"] == {
        "objects": 2, "recall": 1.0, "MOTSP": 0.75, "IDSW": 1, "Frag": 1, "links": 0, "switched": 0, "kept": None,
    }  # fmt: skip
    assert rows["1 partly"] == {
        "objects": 1, "recall": 1.0, "MOTSP": 0.75, "IDSW": 0, "Frag": 0, "links": 1, "switched": 0, "kept": 1.0,
    }  # fmt: skip
    assert rows["2 largely"] == {
        "objects": 2, "recall": 0.0, "MOTSP": None, "IDSW": 0, "Frag": 0, "links": 1, "switched": 1, "kept": 0.0,
    }  # fmt: skip
    assert rows["across a gap"] == {"links": 1, "switched": 1, "kept": 0.0}
    assert set(rows) == {"0 visible", "1 partly", "2 largely", "across a gap", "without a gap"}


@pytest.mark.parametrize(
    ("truth", "found", "row"),
    [
        ("0.0", "a.b", NO_MASK),
        ("030", "a.b", "0 visible"),
        ("333", "a.b", "3 unknown"),
        ("4334", "a..b", "not labelled"),
    ],
)
def test_what_says_nothing_counts_only_where_there_is_no_other(truth, found, row):
    assert scored(truth, found)[row]["switched"] == 1


def random_video(rng: np.random.Generator) -> tuple[TrackingSequence, np.ndarray]:
    """Up to 12 frames of up to 5 against 6 ids, with ties, with similarities of exactly .5 and with empty frames."""
    frames = []
    for _ in range(rng.integers(1, 13)):
        gt = rng.permutation(5)[: rng.integers(0, 6)]
        pred = rng.permutation(6)[: rng.integers(0, 7)]
        similarity = rng.choice([0, 0.3, 0.5, 0.7, rng.random()], (len(gt), len(pred)))
        frames.append(FramePair(gt * 3 + 1, pred * 7, similarity))
    sequence = TrackingSequence.from_frames(frames)
    return sequence, rng.integers(0, len(KITTI_SCALE), len(sequence.gt_ids))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("matches_of", "totals"),
    [
        (trackeval_matches, lambda s: (clear(s).tp, clear(s).idsw, clear(s).frag, clear(s).motp_sum)),
        (motmetrics_matches, lambda s: ((c := accumulate(s)).tp, c.idsw, c.fm, c.tp - c.distance)),
    ],
    ids=["TrackEval", "motmetrics"],
)
def test_all_levels_together_are_the_evaluators_totals(seed: int, matches_of: Callable, totals: Callable):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        sequence, levels = random_video(rng)
        counts = by_occlusion(sequence, matches_of(sequence), levels, KITTI_SCALE)
        tp, idsw, frag, similarity = totals(sequence)
        assert counts.objects.sum() == len(sequence.gt_ids)
        assert (counts.tp.sum(), counts.idsw.sum(), counts.frag.sum()) == (tp, idsw, frag)
        assert counts.switched.sum() == idsw
        assert counts.similarity.sum() == pytest.approx(similarity, abs=1e-12)


def walk(sequence: TrackingSequence, matches: MatchedObjects, levels: np.ndarray) -> list[tuple[str, bool, bool]]:
    """The links of a video found frame by frame: worst level gone through, over a gap, ending with another id."""
    switched = dict(zip(matches.gt.tolist(), matches.switched.tolist(), strict=True))
    links = []
    for name in np.unique(sequence.gt_ids):
        row_of = {int(sequence.gt_frames[row]): int(row) for row in np.flatnonzero(sequence.gt_ids == name)}
        since: list[int | None] = []  # levels from the last match on, None without a mask; empty before the first
        for t in range(sequence.num_frames):
            row = row_of.get(t)
            here = None if row is None else int(levels[row])
            if row not in switched:
                since += [here] if since else []
                continue
            if since:
                known = [level for level in (*since, here) if level in (0, 1, 2)]
                worst = len(KITTI_SCALE) if None in since else max(known or (*since, here))
                links.append((KITTI_SCALE.rows[worst], any(level in (None, 2) for level in since[1:]), switched[row]))
            since = [here]
    return links


@pytest.mark.parametrize("seed", range(10))
def test_links_are_those_of_a_walk_through_the_frames(seed: int):
    rng = np.random.default_rng(100 + seed)
    for _ in range(20):
        sequence, levels = random_video(rng)
        matches = trackeval_matches(sequence)
        counts, links = by_occlusion(sequence, matches, levels, KITTI_SCALE), walk(sequence, matches, levels)
        for level, name in enumerate(KITTI_SCALE.rows):
            assert counts.links[level] == sum(link[0] == name for link in links)
            assert counts.switched[level] == sum(link[0] == name and link[2] for link in links)
        assert counts.gaps == sum(link[1] for link in links)
        assert counts.gaps_switched == sum(link[1] and link[2] for link in links)


def test_counts_add_up_over_videos_and_classes():
    videos = [video("00220", "aa..b"), video("0.01", "a.ab")]
    parts = [by_occlusion(s, trackeval_matches(s), levels, KITTI_SCALE) for s, levels in videos]
    rows = occlusion_rows({"car": parts[0], "pedestrian": parts[1], "ghost": OcclusionCounts.none(KITTI_SCALE)})
    assert {name.split(": ")[0] for name in rows} == {"car", "pedestrian", "all"}
    assert rows["all: across a gap"] == {"links": 2, "switched": 1, "kept": 0.5}
    assert rows["all: 0 visible"]["objects"] == 5
    assert set(occlusion_rows({"car": parts[0]})) == {f"car: {name}" for name in parts[0].rows()}
    with pytest.raises(ValueError, match="do not add up"):
        parts[0] + OcclusionCounts.none(FLAG_SCALE)


@pytest.mark.parametrize("levels", [[0, 0], [0, 0, 5], [0, -1, 0]])
def test_levels_must_fit_the_objects_and_the_scale(levels):
    sequence, _ = video("000", "aaa")
    with pytest.raises(ValueError, match="level|Levels"):
        by_occlusion(sequence, trackeval_matches(sequence), np.array(levels), KITTI_SCALE)


@given(st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.3, 0.6, 0.9])))
def test_levels_of_fractions_are_those_of_the_models_output(fraction):
    assert rate_levels(fraction) == occlusion_level(fraction)


def test_an_undefined_fraction_is_not_labelled():
    assert RATE_SCALE.rows[int(rate_levels(float("nan")))] == "not labelled"


def write_sequence(path: Path, ids: str, first_frame: int) -> None:
    """A pedestrian of one column, its id in each frame ('.' for none)."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[:, 1] = 1
    counts = mask_api.encode(mask)["counts"].decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{t + first_frame} {2000 + int(i)} 2 {HEIGHT} {WIDTH} {counts}\n" for t, i in enumerate(ids) if i != ".")
    path.write_text("".join(lines))


@pytest.mark.parametrize(("protocol", "first_frame"), [("kitti_mots", 0), ("mots_challenge", 1)])
def test_hidden_fractions_count_frames_as_the_ground_truth_does(tmp_path, protocol, first_frame):
    write_sequence(tmp_path / "gt" / "0007.txt", "11111", first_frame)
    write_sequence(tmp_path / "pred" / "0007.txt", "33..4", first_frame)
    (tmp_path / "hidden").mkdir()
    fractions = "".join(f"{t + first_frame} 2001 {f}\n" for t, f in enumerate((0, 0.2, 0.7, 0.95, 0)))
    (tmp_path / "hidden" / "0007.txt").write_text(fractions)
    scores = evaluate(protocol, tmp_path / "gt", tmp_path / "pred", by_occlusion=tmp_path / "hidden")
    objects = {name.split(": ")[1]: row.get("objects") for name, row in scores.by_occlusion.items()}
    assert [objects[name] for name in RATE_SCALE.names] == [2, 1, 0, 1, 1]
    assert scores.by_occlusion["pedestrian: across a gap"] == {"links": 1, "switched": 1, "kept": 0.0}
    assert scores.as_json()["by_occlusion"]["pedestrian: L4 >=90%"]["switched"] == 1


def test_the_ground_truth_of_kitti_has_no_levels_of_its_own(tmp_path):
    write_sequence(tmp_path / "0007.txt", "1", 0)
    with pytest.raises(RequestError, match="label_02, or hidden fractions"):
        evaluate("kitti_mots", tmp_path, tmp_path, by_occlusion=True)


def test_levels_are_only_counted_when_asked_for(tmp_path):
    write_sequence(tmp_path / "0007.txt", "1", 0)
    scores = evaluate("kitti_mots", tmp_path, tmp_path)
    assert scores.by_occlusion == {} and "by_occlusion" not in scores.as_json()


def require_totals(scores: Scores, name: str, frag: str) -> None:
    """The levels of a class sum up to what its row of the main table says."""
    rows = [row for level, row in scores.by_occlusion.items() if level.startswith(f"{name}: ") and "objects" in row]
    total = scores.classes[name] if name != "all" else scores.overall
    assert sum(row["objects"] for row in rows) == total["TP"] + total["FN"]
    assert sum(round(row["objects"] * (row["recall"] or 0)) for row in rows) == total["TP"]
    assert (sum(row["IDSW"] for row in rows), sum(row["Frag"] for row in rows)) == (total["IDSW"], total[frag])


@needs_scalabel
def test_bdd100k_sample_by_its_occluded_flag():
    scores = evaluate(
        "bdd100k_mots", SCALABEL / "seg_track_sample.json", SCALABEL / "seg_track_preds.json", by_occlusion=True
    )
    require_totals(scores, "all", "FM")  # IDSW 25 and FM 42, the official numbers
    assert scores.by_occlusion["all: occluded"]["recall"] < scores.by_occlusion["all: visible"]["recall"]
    assert scores.by_occlusion["all: across a gap"]["switched"] == 18


@needs_scalabel
def test_bdd100k_takes_no_levels_from_elsewhere(tmp_path):
    with pytest.raises(RequestError, match="Give --by-occlusion no path"):
        evaluate(
            "bdd100k_mots",
            SCALABEL / "seg_track_sample.json",
            SCALABEL / "seg_track_preds.json",
            by_occlusion=tmp_path,
        )


def degrade(lines: list[str], occluded: dict[tuple[int, int], int], seed: int) -> list[str]:
    """Lose what is hidden more often than what is not, and come back from hiding with another id every other time."""
    rng, renamed, was_hidden, kept = np.random.default_rng(seed), {}, {}, []
    for line in lines:
        frame, name, kind, rest = line.split(" ", 3)
        level = occluded.get((int(frame), int(name) % 1000), 0)
        if was_hidden.get(name) and level != 2 and rng.random() < 0.5:
            renamed[name] = 50_000 + len(kept)
        was_hidden[name] = level == 2
        if kind != "10" and rng.random() > (0.05, 0.15, 0.7, 0.1)[level]:
            kept.append(f"{frame} {renamed.get(name, name)} {kind} {rest}")
    return kept


@needs_kitti
def test_real_labels_show_that_hidden_objects_were_made_to_be_lost(tmp_path):
    sequences = ("0001", "0017", "0018")
    (tmp_path / "gt").mkdir()
    (tmp_path / "pred").mkdir()
    with zipfile.ZipFile(KITTI / "instances_txt.zip") as truth, zipfile.ZipFile(KITTI / "label_02.zip") as labels:
        for name in sequences:
            text = truth.read(f"instances_txt/{name}.txt").decode()
            rows = (line.split() for line in labels.read(f"label_02/{name}.txt").decode().splitlines())
            occluded = {(int(row[0]), int(row[1])): int(row[4]) for row in rows if int(row[1]) >= 0}
            (tmp_path / "gt" / f"{name}.txt").write_text(text)
            lines = degrade(text.splitlines(), occluded, seed=int(name))
            (tmp_path / "pred" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    scores = evaluate("kitti_mots", tmp_path / "gt", tmp_path / "pred", by_occlusion=KITTI / "label_02.zip", workers=2)
    require_totals(scores, "car", "Frag")
    rows = scores.by_occlusion
    recall = [rows[f"car: {level}"]["recall"] for level in KITTI_SCALE.names]
    np.testing.assert_allclose(recall, [0.95, 0.85, 0.3], atol=0.04)
    assert rows["car: across a gap"]["kept"] < 0.9 < 0.99 < rows["car: without a gap"]["kept"]
