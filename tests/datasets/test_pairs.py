from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader

from vos_occ.datasets.key_frames import KeyFrames
from vos_occ.datasets.pairs import FramePairs, pack_pair
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.synthetic import CLASSES, write_dataset
from vos_occ.structures.errors import InputError

SIZE = (96, 160)
CROP = {"type": "OccRandomScaleCrop", "size": SIZE, "scale": (0.8, 1.4)}
PLAIN = [{"type": "OccRandomScaleCrop", "size": SIZE}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_dataset(folder, "train", (0, 1), image_format="png", height=96, width=160, num_frames=8)
    return folder


def pairs(world: Path, kind: str = "ytvis", pipeline: Any = (CROP,), **options: Any) -> FramePairs:
    source = {
        "type": "YtvisFrames" if kind == "ytvis" else "CocoFrames",
        "ann_file": world / f"annotations_{kind}.json",
        "image_root": world / "frames",
        **options.pop("source", {}),
    }
    return FramePairs(sources=[source], pipeline=list(pipeline), classes=CLASSES, **options)


def take(dataset: FramePairs, index: int = 0, seed: int = 0) -> tuple[torch.Tensor, Any, Any]:
    np.random.seed(seed)  # the dataset draws its own generator from the worker's, which mmengine seeds
    item = dataset[index]
    return item["inputs"], item["data_samples"][0], item["data_samples"][1]


def by_id(instances: Any) -> dict[int, np.ndarray]:
    return dict(zip(instances.instances_ids.tolist(), instances.masks.masks, strict=True))


def test_a_pair_has_the_form_that_mmdet_trains_on(world: Path) -> None:
    inputs, key, reference = take(pairs(world))
    assert (inputs.shape, inputs.dtype) == ((2, 3, *SIZE), torch.uint8)
    for sample in (key, reference):
        instances = sample.gt_instances
        count = len(instances)
        assert sample.img_shape == SIZE
        assert (instances.bboxes.shape, instances.bboxes.dtype) == ((count, 4), torch.float32)
        assert instances.labels.dtype == instances.instances_ids.dtype == torch.int64
        assert isinstance(instances.masks, BitmapMasks)
        assert instances.hidden.dtype == torch.float32
        assert (instances.in_front.shape, instances.in_front.dtype) == ((count, count), torch.int8)


def test_key_and_reference_share_ids_and_labels(world: Path) -> None:
    dataset, shared = pairs(world), 0
    for index in range(len(dataset)):
        _, key, reference = take(dataset, index)
        labels = [dict(zip(s.gt_instances.instances_ids.tolist(), s.gt_instances.labels.tolist(), strict=True))
                  for s in (key, reference)]  # fmt: skip
        common = labels[0].keys() & labels[1].keys()
        assert all(labels[0][i] == labels[1][i] for i in common)
        shared += bool(common)
    assert shared > len(dataset) // 2


def test_boxes_are_those_of_the_masks(world: Path) -> None:
    _, key, _ = take(pairs(world))
    for mask, box in zip(key.gt_instances.masks.masks, key.gt_instances.bboxes.tolist(), strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_frames_of_a_video_get_one_augmentation(world: Path) -> None:
    """With the key as its own reference, both must come out alike."""
    dataset = pairs(world, pipeline=[CROP, {"type": "OccRandomFlip"}, {"type": "OccColorJitter"}], frame_range=1)
    source = dataset.sources[0]
    original = source.load
    source.load = lambda video, frame_index: original(video, 3)
    for seed in range(5):
        inputs, _, _ = take(dataset, 3, seed)
        assert torch.equal(inputs[0], inputs[1])


def test_an_image_is_augmented_twice(world: Path) -> None:
    inputs, key, reference = take(pairs(world, "coco"), 2)
    assert not torch.equal(inputs[0], inputs[1])
    moved = [
        not np.array_equal(mask, by_id(reference.gt_instances).get(i)) for i, mask in by_id(key.gt_instances).items()
    ]
    assert moved
    assert all(moved)


@pytest.mark.parametrize("frame_range", [1, 3, 100])
def test_the_reference_lies_within_range(world: Path, frame_range: int) -> None:
    dataset = pairs(world, frame_range=frame_range)
    seen: list[tuple[int, int]] = []
    source = dataset.sources[0]
    original = source.load
    source.load = lambda video, frame_index: (seen.append((video, frame_index)), original(video, frame_index))[1]
    for seed in range(12):
        take(dataset, seed % len(dataset), seed)
    distances = [abs(t - u) for (video, t), (other, u) in zip(seen[::2], seen[1::2], strict=True) if video == other]
    assert len(distances) == len(seen) / 2
    assert 1 <= min(distances) <= max(distances) <= frame_range
    assert max(distances) > 1 or frame_range == 1


def test_the_seed_decides_the_pair(world: Path) -> None:
    dataset = pairs(world, copy_paste={})
    assert torch.equal(take(dataset, 1, 4)[0], take(dataset, 1, 4)[0])
    assert not torch.equal(take(dataset, 1, 4)[0], take(dataset, 1, 5)[0])


def test_repeat_weighs_a_source(world: Path) -> None:
    assert len(pairs(world, source={"repeat": 3})) == 3 * len(pairs(world))


def test_single_images_without_pasting_show_what_is_annotated(world: Path) -> None:
    _, key, reference = take(pairs(world, "coco", PLAIN, copy_paste={"prob": 0.0}), 1)
    assert by_id(key.gt_instances).keys() == by_id(reference.gt_instances).keys()


def test_crowds_are_ignored_not_learned(sample) -> None:
    scene = sample("##..\n##..", "..##\n..##", scale=8, crowd=np.array([False, True]))
    packed = pack_pair(scene, scene)["data_samples"][0]
    assert packed.gt_instances.instances_ids.tolist() == [1]
    assert packed.ignored_instances.instances_ids.tolist() == [2]
    assert packed.gt_instances.in_front.shape == (1, 1)


class OneSample:
    """A source of one image."""

    classes = ("thing",)

    def __init__(self, sample: Sample, keep_empty: bool) -> None:
        self.sample = sample
        self.keep_empty = keep_empty

    def frames(self) -> list[list[int]]:
        return [[0]]

    def load(self, video: int, frame_index: int) -> Sample:
        return self.sample


def with_source(world: Path, sample: Sample, keep_empty: bool = False, **options: Any) -> FramePairs:
    dataset = pairs(world, **options)
    source = OneSample(sample, keep_empty)
    dataset.sources, dataset._keys = [source], [KeyFrames(source.frames())]
    return dataset


def test_pasted_instances_have_one_id_and_two_places(world: Path, sample) -> None:
    scene = sample("........\n.##.....\n.##.....\n........", scale=20)
    dataset, both = with_source(world, scene, pipeline=[], copy_paste={"prob": 1.0, "max_objects": 1}), 0
    for seed in range(12):
        _, key, reference = take(dataset, 0, seed)
        first, second = by_id(key.gt_instances), by_id(reference.gt_instances)
        if 2 in first and 2 in second:  # numbers within the pair; the object of the scene has the smaller id
            both += not np.array_equal(first[2], second[2])
    assert both >= 6


def test_what_others_cover_wholly_is_not_shown_to_the_detector(world: Path, sample) -> None:
    scene = sample("##..\n##..", "....\n....", scale=8)
    _, key, _ = take(with_source(world, scene, pipeline=[]))
    assert key.gt_instances.instances_ids.tolist() == [1]


def test_a_frame_that_augmentation_empties_is_given_up_after_some_attempts(world: Path, sample) -> None:
    dataset = with_source(world, sample("##..\n##..", scale=2), pipeline=[{"type": "OccDropSmall", "min_area": 999}])
    inputs, key, _ = take(dataset)
    assert inputs.shape == (2, 3, 4, 8)
    assert key.gt_instances.bboxes.shape == (0, 4)
    assert key.gt_instances.masks.masks.shape == (0, 4, 8)


def test_background_is_a_sample_where_the_source_keeps_it(world: Path, sample) -> None:
    nobody = sample("....\n....", scale=20).select(np.zeros(1, bool))
    inputs, key, _ = take(with_source(world, nobody, keep_empty=True, pipeline=[]))
    assert inputs.shape == (2, 3, 40, 80)
    assert len(key.gt_instances) == 0


def test_instances_are_pasted_on_background_too(world: Path, sample) -> None:
    nobody = sample("....\n....", scale=20).select(np.zeros(1, bool))
    options = {"prob": 1.0, "max_objects": 2, "min_area": 1}
    dataset = with_source(world, nobody, keep_empty=True, pipeline=[], copy_paste=options)
    dataset._random_sample = lambda rng: sample("....\n.##.\n.##.", scale=10)
    assert {len(take(dataset, 0, seed)[1].gt_instances) for seed in range(20)} >= {1, 2}


def test_a_crowd_is_no_target_to_paste_over(world: Path, sample) -> None:
    scene = sample("##......\n##......", scale=20, crowd=np.array([True]))
    take(with_source(world, scene, pipeline=[], copy_paste={"prob": 1.0}))  # must not fail for want of an instance


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"type": "CocoFrame"},
            "Source type 'CocoFrame' of the training set is not known. Use YtvisFrames",
        ),
        ({"type": None}, "Source type None"),
    ],
    ids=["misspelt", "none"],
)
def test_a_source_that_does_not_exist_is_named(world: Path, source: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pairs(world, source=source)


def test_an_empty_training_set_is_one_clear_line(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "annotations_ytvis.json"
    text = (world / "annotations_ytvis.json").read_text()
    path.write_text(text.replace('"iscrowd":0', '"iscrowd":1'))
    (tmp_path / "frames").symlink_to(world / "frames")
    with pytest.raises(InputError, match="^The training set is empty: no source has a frame"):
        pairs(tmp_path)


def mixed(world: Path, **options: Any) -> FramePairs:
    """Videos and, weighing half of its images, the COCO file beside them."""
    sources = [
        {"type": "YtvisFrames", "ann_file": world / "annotations_ytvis.json", "image_root": world / "frames"},
        {
            "type": "CocoFrames",
            "ann_file": world / "annotations_coco.json",
            "image_root": world / "frames",
            "repeat": 0.5,
        },
    ]
    return FramePairs(sources=sources, pipeline=[CROP], classes=CLASSES, copy_paste={}, **options)


def test_videos_and_images_are_mixed_by_weight_over_several_workers(world: Path) -> None:
    dataset = mixed(world)
    videos, images = (len(keys) for keys in dataset._keys)
    assert (images, len(dataset)) == (round(videos / 2), videos + images)  # every frame is in both files
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, shuffle=True, collate_fn=list, multiprocessing_context="fork"
    )
    items = [item for batch in loader for item in batch]
    assert len(items) == len(dataset)
    assert all(item["inputs"].shape == (2, 3, *SIZE) for item in items)
    assert len({item["inputs"].numpy().tobytes() for item in items}) > 0.9 * len(items)  # no two workers draw alike


def test_workers_that_begin_anew_draw_anew(world: Path) -> None:
    """mmengine gives a worker the same numpy seed whenever it begins: without `persistent_workers`, in each epoch."""
    seeded = partial(worker_init_fn, num_workers=2, rank=0, seed=0)
    torch.manual_seed(0)
    loader = DataLoader(
        mixed(world), num_workers=2, collate_fn=list, multiprocessing_context="fork", worker_init_fn=seeded
    )
    epochs = [{item["inputs"].numpy().tobytes() for batch in loader for item in batch} for _ in range(2)]
    assert len(epochs[0] & epochs[1]) < 0.1 * len(loader)
    torch.manual_seed(0)
    assert {item["inputs"].numpy().tobytes() for batch in loader for item in batch} == epochs[0]


def test_a_fraction_of_a_source_is_drawn_anew_in_each_epoch(world: Path) -> None:
    dataset = pairs(world, source={"repeat": 0.2})
    seen: list[tuple[int, int]] = []
    source = dataset.sources[0]
    original = source.load
    source.load = lambda video, frame_index: (seen.append((video, frame_index)), original(video, frame_index))[1]
    for epoch in range(20):
        for index in range(len(dataset)):
            take(dataset, index, seed=epoch)
    assert len(dataset) == round(0.2 * len(pairs(world)))
    assert len(set(seen[::2])) > 2 * len(dataset)


def test_an_annotation_with_id_0_has_its_partner_in_the_reference(world: Path, tmp_path: Path) -> None:
    """mmdet's quasi-dense head takes ids up to 0 for objects without a partner (docs/sources.md, trackers B9)."""
    content = json.loads((world / "annotations_ytvis.json").read_text())
    first = content["annotations"][0]
    del content["annotations"][1:], first["in_front_of"]
    first["id"] = 0
    (tmp_path / "annotations_ytvis.json").write_text(json.dumps(content))
    (tmp_path / "frames").symlink_to(world / "frames")
    _, key, reference = take(pairs(tmp_path, pipeline=PLAIN))
    assert key.gt_instances.instances_ids.tolist() == reference.gt_instances.instances_ids.tolist() == [1]


def test_what_is_left_out_is_counted_in_the_log(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((world / "annotations_ytvis.json").read_text())
    content["annotations"] = [a | {"in_front_of": None} for a in content["annotations"] if a["video_id"] == 1]
    content["annotations"] = [{k: v for k, v in a.items() if k != "in_front_of"} for a in content["annotations"]]
    (tmp_path / "annotations_ytvis.json").write_text(json.dumps(content))
    (tmp_path / "frames").symlink_to(world / "frames")
    said: list[str] = []
    monkeypatch.setattr("vos_occ.datasets.pairs.print_log", lambda text, logger: said.append(text))
    pairs(tmp_path)
    assert len(said) == 1
    assert said[0].startswith("1 videos without an annotated object are skipped: YtvisFrames(2 videos in ")


def test_labels_follow_the_classes_of_the_config_not_the_order_of_the_file(world: Path) -> None:
    backwards = FramePairs(
        sources=[{"type": "YtvisFrames", "ann_file": world / "annotations_ytvis.json", "image_root": world / "frames"}],
        pipeline=PLAIN,
        classes=CLASSES[::-1],
    )
    for index in range(3):
        _, key, _ = take(pairs(world, pipeline=PLAIN), index)
        _, turned, _ = take(backwards, index)
        assert (len(CLASSES) - 1 - key.gt_instances.labels).tolist() == turned.gt_instances.labels.tolist()


def test_the_label_of_occlusion_comes_along(world: Path) -> None:
    _, key, _ = take(pairs(world, pipeline=PLAIN))
    assert key.gt_instances.occlusion.dtype == torch.int8
    assert set(key.gt_instances.occlusion.tolist()) <= {0, 1, 2}
