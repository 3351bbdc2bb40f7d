"""Street scenes, and the benchmarks that are made of them, read back and scored by the evaluator."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval import evaluate
from eval.readers.bdd_bitmask import find_bitmasks, read_bitmasks, read_instances
from eval.readers.mots import parse_mots
from eval.scores import Scores
from vos_occ.datasets.sprites import CLASSES, LOOKS, Sprite, drained, draw_crowd, draw_sprite
from vos_occ.datasets.synthetic import SyntheticWorld
from vos_occ.datasets.synthetic_bdd100k import CAST, DISTRACTORS, write_bdd100k
from vos_occ.datasets.synthetic_kitti_mots import write_kitti_mots
from vos_occ.datasets.synthetic_street import StreetWorld, crowds, true_flags, true_result
from vos_occ.datasets.textures import PHOTOGRAPHS
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, OutputExistsError

TOOL = Path(__file__).parents[2] / "tools" / "make_synthetic_data.py"
WORLD = {"height": 72, "width": 120, "num_frames": 4}
SEEDS = {"train": (0, 1), "val": (0, 7)}
POOLS = {"train": "train", "val": "heldout"}
PLAIN = {  # label, depth and place in frame 7 of each object, drawn before there were street scenes (7aee50d)
    "train": [
        (5, 4, 50.88, 94.43),
        (5, 3, 47.44, 110.91),
        (5, 0, 72.67, 106.94),
        (1, 1, 282.24, 128.57),
        (1, 2, 265.33, 111.83),
        (1, 5, -68.26, 123.15),
    ],
    "heldout": [
        (4, 5, 235.89, 118.29),
        (1, 2, 254.3, 93.13),
        (1, 1, 241.99, 98.63),
        (3, 4, 116.44, 92.5),
        (0, 3, 77.76, 95.43),
        (3, 0, 93.44, 78.36),
    ],
}


def street(split: str = "train", **world) -> StreetWorld:
    return StreetWorld(split, CAST, DISTRACTORS, **{**WORLD, **world})


@pytest.fixture(scope="module")
def bdd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bdd100k")
    write_bdd100k(path, *SEEDS.values(), test=(0,), **WORLD)
    return path


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kitti_mots")
    write_kitti_mots(path, train=2, val=1, test=1, **WORLD)
    return path


def expect_all_found(scores: Scores, *ratios: str) -> None:
    found = {name: row for name, row in scores.classes.items() if row["TP"]}
    assert found
    for row in scores.classes.values():
        assert (row["FP"], row["FN"], row["IDSW"]) == (0, 0, 0)
    for row in found.values():
        assert [row[name] for name in ratios] == pytest.approx([1] * len(ratios))


def test_the_plain_world_draws_what_it_always_drew() -> None:
    """Weights that ship were trained in it; a class more, or a number drawn in between, changes every video."""
    assert CLASSES == ("ball", "brick", "star", "leaf", "bottle", "blossom")
    drawn = {}
    for split, seed in (("train", 3), ("heldout", 5)):
        scene = SyntheticWorld(split).video(seed).scene
        drawn[split] = [(layer.label, layer.depth, *layer.path.centres[7].round(2)) for layer in scene.layers]
    assert drawn == PLAIN


def test_every_class_has_a_picture_of_its_own() -> None:
    assert len(set(CAST.values())) == len(CAST) == len(LOOKS) == 8


def test_a_crowd_is_many_and_stays_within_its_radius() -> None:
    def fullness(sprite: Sprite) -> float:
        on = sprite.rgba[..., 3] >= 128
        return on.sum() / cv2.contourArea(cv2.convexHull(np.argwhere(on).astype(np.int32)))

    rng, light = np.random.default_rng(1), np.array([1.0, 0.0])
    crowd = draw_crowd("bottle", "train", 40.0, PHOTOGRAPHS["train"], light, rng)
    points = np.argwhere(crowd.rgba[..., 3] >= 128) - (crowd.side - 1) / 2
    assert np.hypot(*points.T).max() <= 42
    assert fullness(crowd) < 0.9 * fullness(draw_sprite("bottle", "train", 40.0, PHOTOGRAPHS["train"][0], light, rng))


def test_a_drained_sprite_keeps_its_outline_and_loses_its_colour() -> None:
    rng = np.random.default_rng(0)
    sprite = draw_sprite("leaf", "train", 30.0, PHOTOGRAPHS["train"][0], np.array([1.0, 0.0]), rng)
    grey = drained(sprite, rng)
    np.testing.assert_array_equal(grey.rgba[..., 3], sprite.rgba[..., 3])
    spread = [np.ptp(picture.rgba[..., :3].astype(int), axis=2).mean() for picture in (sprite, grey)]
    assert spread[1] < 0.15 * spread[0]


def test_scenes_hold_crowds_and_distractors_at_depths_of_one_order() -> None:
    videos = [street().video(seed) for seed in range(12)]
    many = [crowds(video).sum() for video in videos]
    others = [sum(layer.label >= 8 for layer in video.scene.layers) for video in videos]
    assert set(many) == {0, 1} and set(others) == {0, 1, 2}
    for video in videos:
        assert sorted(layer.depth for layer in video.scene.layers) == list(range(len(video.scene.layers)))
    between = [v for v in videos if any(0 < layer.depth < 3 and layer.label >= 8 for layer in v.scene.layers)]
    assert between, "distractors hide and are hidden"


def test_flags_are_those_of_the_truth() -> None:
    seen = {"crowd": 0, "occluded": 0, "truncated": 0}
    for seed in range(5):
        video = street(num_frames=20).video(seed)
        frame = video[13]
        result, flags = true_result(frame), true_flags(video, frame)
        assert [len(values) for values in flags.values()] == [len(result)] * 3
        for i, track_id in enumerate(result.track_ids):
            row = int(track_id) - 1
            np.testing.assert_array_equal(rle.decode(result.masks[i]), frame.visible[row])
            assert flags["crowd"][i] == video.scene.layers[row].crowd
            assert flags["occluded"][i] == (frame.hidden[row] >= 0.01)
            padded = np.pad(frame.amodal[row][1:-1, 1:-1], 1)
            assert flags["truncated"][i] == bool((frame.amodal[row] & ~padded).any())
        seen = {name: count + int(flags[name].sum()) for name, count in seen.items()}
    assert all(seen.values()), seen


def test_bitmasks_are_the_visible_pixels(bdd: Path) -> None:
    checked = 0
    for split, seeds in SEEDS.items():
        videos = find_bitmasks(bdd / "labels" / "seg_track_20" / "bitmasks" / split)
        for name, seed in zip(videos, seeds, strict=True):
            video = street(POOLS[split]).video(seed)
            assert name == video.name
            table = read_bitmasks(videos[name])
            rows = {(int(t), int(k)): row for row, (t, k) in enumerate(zip(table.frames, table.ids, strict=True))}
            for frame in video:
                for i in np.flatnonzero(frame.is_visible):
                    row = rows.pop((frame.frame_index, i + 1))
                    np.testing.assert_array_equal(rle.decode(table.rle(row)), frame.visible[i])
                    label = int(frame.labels[i])
                    wanted = label if label < 8 else tuple(CAST).index(tuple(DISTRACTORS.values())[label - 8])
                    assert table.categories[row] == wanted + 1
                    assert table.flags["ignored"][row] == (label >= 8)
                    assert table.flags["crowd"][row] == crowds(video)[i]
                    checked += 1
            assert not rows
    assert checked > 50


def test_frames_lie_beside_their_labels_and_a_test_split_has_none(bdd: Path) -> None:
    for split in ("train", "val"):
        for name, frames in find_bitmasks(bdd / "labels" / "seg_track_20" / "bitmasks" / split).items():
            folder = bdd / "images" / "seg_track_20" / split / name
            assert sorted(path.stem for path in folder.iterdir()) == list(frames)
            assert frames[f"{name}-0000001"]
    assert len(list((bdd / "images" / "seg_track_20" / "test" / "heldout_2000000").iterdir())) == 4
    assert not list((bdd / "labels").rglob("*test*"))


def test_frames_show_the_scenes_that_are_labelled(bdd: Path) -> None:
    stored = cv2.imread(str(bdd / "images" / "seg_track_20" / "val" / "heldout_00007" / "heldout_00007-0000003.jpg"))
    assert np.abs(stored[..., ::-1].astype(int) - street("heldout").video(7)[2].image).mean() < 6


def test_truth_as_prediction_is_all_right_in_every_form(bdd: Path) -> None:
    labels = bdd / "labels" / "seg_track_20"
    for gt in ("rles", "polygons"):
        expect_all_found(
            evaluate("bdd100k_mots", labels / gt / "val", labels / "rles" / "val"), "MOTSA", "MOTSP", "IDF1"
        )
    bitmasks = labels / "bitmasks" / "val"
    expect_all_found(evaluate("bdd100k_mots_bitmask", bitmasks, bitmasks), "MOTSA", "MOTSP", "IDF1")


def test_single_images_are_scored_as_such(bdd: Path) -> None:
    labels = bdd / "labels" / "ins_seg"
    truth, found = labels / "polygons" / "ins_seg_train.json", bdd / "found.json"
    images = json.loads((labels / "rles" / "ins_seg_train.json").read_text())
    scored = [{**label, "score": 1.0} for image in images for label in image["labels"]]
    assert len(images) == 4 and scored
    for image in images:
        image["labels"] = [{**label, "score": 1.0} for label in image["labels"]]
        instances = read_instances(labels / "bitmasks" / "train" / image["name"].replace(".jpg", ".png"))
        assert sorted(int(label["id"]) for label in image["labels"]) == instances.ids.tolist()
        assert (bdd / "images" / "10k" / "train" / image["name"]).is_file()
    found.write_text(json.dumps(images))
    assert evaluate("bdd100k_ins_seg", truth, found).summary["AP"] == pytest.approx(1)


def test_detection_labels_are_boxes_of_the_same_objects(bdd: Path) -> None:
    boxes = json.loads((bdd / "labels" / "det_20" / "det_val.json").read_text())
    masks = json.loads((bdd / "labels" / "ins_seg" / "rles" / "ins_seg_val.json").read_text())
    for box, mask in zip(boxes, masks, strict=True):
        assert (bdd / "images" / "100k" / "val" / box["name"]).is_file()
        without = [{name: value for name, value in label.items() if name != "rle"} for label in mask["labels"]]
        assert box == {**mask, "labels": without}
    tracks = json.loads((bdd / "labels" / "box_track_20" / "val" / "heldout_00000.json").read_text())
    assert [frame["frameIndex"] for frame in tracks] == [0, 1, 2, 3]
    assert all("rle" not in label for frame in tracks for label in frame["labels"])


def test_a_split_is_replaced_only_on_request_and_then_whole(tmp_path: Path) -> None:
    tiny = {**WORLD, "num_frames": 1}
    write_bdd100k(tmp_path, (0, 1), (), **tiny)
    mine = tmp_path / "images" / "10k" / "train" / "mine.jpg"
    mine.write_text("")
    with pytest.raises(OutputExistsError, match="is not empty. Use --overwrite"):
        write_bdd100k(tmp_path, (5,), (), **tiny)
    write_bdd100k(tmp_path, (), (0,), **tiny)  # another split
    write_bdd100k(tmp_path, (5,), (), overwrite=True, **tiny)
    names = {path.name for path in tmp_path.rglob("*train_0000*")}
    assert names == {"train_00005", "train_00005.json", "train_00005-0000001.jpg", "train_00005-0000001.png"}
    assert mine.is_file() and (tmp_path / "images" / "seg_track_20" / "val" / "heldout_00000").is_dir()


def test_kitti_sequences_have_the_numbers_of_their_split(kitti: Path) -> None:
    folders = ("training/image_02", "instances", "instances_txt", "testing/image_02")
    found = [sorted(path.stem for path in (kitti / folder).iterdir()) for folder in folders]
    assert found == [["0000", "0001", "0002"]] * 3 + [["0000"]]
    assert (kitti / "train.seqmap").read_text() == "0000 empty 000000 000003\n0001 empty 000000 000003\n"
    assert (kitti / "val.seqmap").read_text() == "0002 empty 000000 000003\n"
    assert len((kitti / "fulltrain.seqmap").read_text().splitlines()) == 3
    assert (kitti / "training" / "image_02" / "0002" / "000000.jpg").is_file()


def test_kitti_text_and_images_say_the_same_and_all_is_found(kitti: Path) -> None:
    for gt, pred in (("instances_txt", "instances"), ("instances", "instances_txt")):
        scores = evaluate("kitti_mots", kitti / gt, kitti / pred, seqmap=kitti / "fulltrain.seqmap")
        expect_all_found(scores, "HOTA", "sMOTSA", "IDF1")


def test_crowds_and_distractors_of_kitti_are_one_region_to_ignore(kitti: Path) -> None:
    regions = 0
    for name, split, seed in (("0000", "train", 0), ("0001", "train", 1), ("0002", "heldout", 0)):
        table = parse_mots((kitti / "instances_txt" / f"{name}.txt").read_bytes(), name).table(0, 4)
        source = StreetWorld(
            split, {"car": "brick", "pedestrian": "bottle"}, {"van": "car", "sit": "pedestrian"}, **WORLD
        )
        video = source.video(seed)
        for frame in video:
            left_out = frame.is_visible & ((frame.labels >= 2) | crowds(video))
            rows = np.flatnonzero((table.frames == frame.frame_index) & (table.categories == 10))
            assert table.ids[rows].tolist() == [10000] * bool(left_out.any())
            for row in rows:
                np.testing.assert_array_equal(rle.decode(table.rle(int(row))), frame.visible[left_out].any(0))
                regions += 1
    assert regions


def test_motschallenge_finds_all_of_its_own_truth(tmp_path: Path) -> None:
    video = StreetWorld("train", {"pedestrian": "bottle"}, {}, **WORLD).video(0)
    gt, pred = tmp_path / "gt" / "MOTS20-02", tmp_path / "pred"
    for path in (gt / "gt" / "gt.txt", pred / "MOTS20-02.txt"):
        with MotsTxtWriter(path, [2], first_frame=1) as writer:
            for frame in video:
                writer.write(true_result(frame))
    (gt / "seqinfo.ini").write_text("[Sequence]\nname=MOTS20-02\nseqLength=4\n")
    expect_all_found(evaluate("mots_challenge", gt.parent, pred), "HOTA", "sMOTSA", "IDF1")


def test_kitti_has_no_more_sequences_than_the_real_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 12 sequences of split train, asked for 13"):
        write_kitti_mots(tmp_path, train=13, val=0)
    assert not list(tmp_path.iterdir())


def test_the_tool_writes_both(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_synthetic_data", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    written = []
    monkeypatch.setattr(
        tool, "write_bdd100k", lambda out, *seeds, **said: written.append((out, *map(len, seeds), said))
    )
    monkeypatch.setattr(tool, "write_kitti_mots", lambda out, *counts, **said: written.append((out, *counts, said)))
    assert tool.main(["--format", "bdd100k", "--out", str(tmp_path), "--overwrite"]) == 0
    assert tool.main(["--format", "kitti_mots", "--test", "2", "--frames", "7"]) == 0
    assert written == [
        (tmp_path, 120, 20, 0, {"overwrite": True}),
        (Path("data/synthetic_kitti_mots"), 12, 9, 2, {"overwrite": False, "num_frames": 7}),
    ]
    with pytest.raises(SystemExit):
        tool.main(["--format", "ovis", "--test", "1"])
    assert "--test goes with" in capsys.readouterr().err
