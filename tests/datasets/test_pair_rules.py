"""Which pairs FramePairs makes of BDD100K's videos, images and boxes together."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.protocols.bdd100k_rules import CLASSES
from vos_occ.datasets.copy_paste import PASTED_ID, CopyPaste, _append_in_front, assume_standalone_visible
from vos_occ.datasets.key_frames import KeyFrames
from vos_occ.datasets.pairs import FramePairs, pack_pair
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.synthetic_bdd100k import write_bdd100k

PLAIN = [{"type": "OccRandomScaleCrop", "size": (64, 112)}]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bdd100k")
    write_bdd100k(folder, [3], (), height=64, width=112, num_frames=3)
    return folder


def of(root: Path, *datasets: str, **options: Any) -> FramePairs:
    sources = [{"type": "MotsBenchmark", "dataset": name, "root": root} for name in datasets]
    return FramePairs(sources, options.pop("pipeline", PLAIN), CLASSES, **options)


def take(dataset: FramePairs, index: int, seed: int = 0) -> tuple[Any, Any, str]:
    np.random.seed(seed)  # the dataset draws its own generator from the worker's, which mmengine seeds
    samples = dataset[index]["data_samples"]
    return samples[0], samples[1], samples.img_id


def ids(sample: Any) -> set[int]:
    return set(sample.gt_instances.instances_ids.tolist())


class Scenes:
    """A source of one video whose frames are given."""

    classes = ("thing",)
    keep_empty = False

    def __init__(self, *scenes: Sample) -> None:
        self.scenes = scenes

    def frames(self) -> list[list[int]]:
        return [list(range(len(self.scenes)))]

    def load(self, video: int, frame_index: int) -> Sample:
        return self.scenes[frame_index]


def with_scenes(root: Path, *scenes: Sample, **options: Any) -> FramePairs:
    dataset = of(root, "bdd100k", pipeline=[], **options)
    source = Scenes(*scenes)
    dataset.sources, dataset._keys = [source], [KeyFrames(source.frames())]
    return dataset


def test_videos_images_and_boxes_are_mixed(root: Path) -> None:
    dataset = of(root, "bdd100k", "bdd100k_ins_seg", "bdd100k_box_track", "bdd100k_det")
    assert len(dataset) == 3 + 2 + 3 + 2
    for index in range(len(dataset)):
        key, reference, name = take(dataset, index)
        number = int(name.split()[1])
        assert number == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3][index]
        assert ids(key) & ids(reference)
        for sample in (key, reference):
            assert (sample.gt_instances.mask_known.numpy() == (number < 2)).all()


def test_an_image_pairs_with_itself_moved(root: Path) -> None:
    crop = [{"type": "OccRandomScaleCrop", "size": (64, 112), "scale": (1.2, 1.5)}]
    key, reference, _ = take(of(root, "bdd100k_ins_seg", pipeline=crop), 0)
    masks = [dict(zip(s.gt_instances.instances_ids.tolist(), s.gt_instances.masks.masks, strict=True))
             for s in (key, reference)]  # fmt: skip
    both = masks[0].keys() & masks[1].keys()
    assert both
    assert not any(np.array_equal(masks[0][number], masks[1][number]) for number in both)


def test_crowds_and_distractors_are_ignored_not_learned(root: Path) -> None:
    source = of(root, "bdd100k").sources[0]
    crowds = [int(source.load(0, t).crowd.sum()) for t in range(3)]
    assert sum(crowds)
    for t, count in enumerate(crowds):
        key, _, _ = take(of(root, "bdd100k"), t)
        assert len(key.ignored_instances) == count


def test_boxes_follow_the_augmentation_as_masks_do(root: Path) -> None:
    pipeline = [{"type": "OccRandomScaleCrop", "size": (128, 224)}, {"type": "OccRandomFlip", "prob": 1.0}]
    masks, boxes = (
        take(of(root, name, pipeline=pipeline), 0)[0].gt_instances for name in ("bdd100k", "bdd100k_box_track")
    )
    assert np.abs(np.sort(masks.bboxes.numpy(), 0) - np.sort(boxes.bboxes.numpy(), 0)).max() <= 1


def test_pairs_without_a_common_object_are_drawn_again(root: Path, sample) -> None:
    """One frame shows object 1, two show object 2: only these two make a pair."""
    pictures = ["##..\n##..", "..##\n..##", ".##.\n.##."]
    scenes = [sample(p, scale=8, instance_ids=np.array([n])) for p, n in zip(pictures, (1, 2, 2), strict=True)]
    strangers = Counter()
    for required in (False, True):
        dataset = with_scenes(root, *scenes, require_shared=required)
        for seed in range(12):
            key, reference, _ = take(dataset, seed % 3, seed)
            strangers[required] += not ids(key) & ids(reference)
    assert strangers[False] > 3
    assert not strangers[True]


def test_where_no_pair_has_a_common_object_the_key_is_its_own_reference(root: Path, sample) -> None:
    scenes = [sample("##..\n##..", scale=8, instance_ids=np.array([number])) for number in (1, 2)]
    dataset = with_scenes(root, *scenes, require_shared=True)
    np.random.seed(0)
    item = dataset[0]
    assert (item["inputs"][0] == item["inputs"][1]).all()
    assert ids(item["data_samples"][0]) == ids(item["data_samples"][1]) == {1}


def test_a_crowd_in_common_is_no_object_in_common(root: Path, sample) -> None:
    scenes = [
        sample("##..\n##..", "..##\n..##", scale=8, instance_ids=np.array([9, number]), crowd=np.array([True, False]))
        for number in (1, 2)
    ]
    dataset = with_scenes(root, *scenes)
    key, reference, _ = take(dataset, 0)
    assert ids(key) != ids(reference)
    dataset.require_shared = True
    assert not dataset._teaches(0, *scenes)
    assert dataset._teaches(0, scenes[0], scenes[0])


def test_background_needs_nothing_in_common_where_it_is_kept(root: Path, sample) -> None:
    nobody = sample("....\n....", scale=8).select(np.zeros(1, bool))
    dataset = with_scenes(root, nobody, require_shared=True)
    assert not dataset._teaches(0, nobody, nobody)
    dataset.sources[0].keep_empty = True
    assert dataset._teaches(0, nobody, nobody)


def test_nothing_is_cut_out_of_a_box(sample) -> None:
    boxed = sample("....\n.##.\n.##.", scale=10, mask_known=np.array([False]))
    known = sample("....\n.##.\n.##.", scale=10)
    paste = CopyPaste(prob=1.0, max_objects=1, min_area=1)
    rng = np.random.default_rng(0)
    assert paste.draw(lambda: boxed, rng) == []
    assert len(paste.draw(lambda: known, rng)) == 1


def test_what_is_pasted_over_a_box_hides_an_unknown_part(sample) -> None:
    boxed = assume_standalone_visible(sample("####\n####", mask_known=np.array([False])))
    assert np.isnan(boxed.hidden).all()
    pasted = _append_in_front(boxed, np.array([[1, 1, 0, 0], [1, 1, 0, 0]], np.uint8), PASTED_ID, 0)
    assert pasted.mask_known.tolist() == [False, True]
    packed = pack_pair(pasted, pasted)["data_samples"][0].gt_instances
    assert packed.mask_known.tolist() == [False, True]
    assert np.isnan(packed.hidden.numpy()).tolist() == [True, False]
