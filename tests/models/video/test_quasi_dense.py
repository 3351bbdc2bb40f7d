"""The quasi-dense embedding head: its loss, which RoIs it compares, and that it changes nothing it is given."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.losses import MultiPosCrossEntropyLoss
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.video.quasi_dense import (
    TRAINING,
    MultiPositiveLoss,
    OccQuasiDenseTrackHead,
    multi_positive_loss,
    partner_indices,
)

C, D = 8, 6
FAR = [100.0, 100, 120, 120]
OBJECTS = [[0.0, 0, 20, 20], [30.0, 0, 60, 30], [0.0, 40, 24, 64]]


def build(**options: Any) -> OccQuasiDenseTrackHead:
    torch.manual_seed(0)
    layers = {"in_channels": C, "conv_out_channels": C, "fc_out_channels": 16, "embed_channels": D, "roi_feat_size": 3}
    extractor = {
        "type": "SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": 3, "sampling_ratio": 0},
        "out_channels": C,
        "featmap_strides": [4, 8],
    }
    embed_head = {"type": "OccQuasiDenseEmbedHead", "norm_cfg": {"type": "GN", "num_groups": 2}, **layers}
    with DefaultScope.overwrite_default_scope("mmdet"):
        return OccQuasiDenseTrackHead(extractor, embed_head, **options)


def features(images: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Three levels, of which the head reads two."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(images, C, 128 // stride, 128 // stride, generator=generator) for stride in (4, 8, 16))


def frame(ids: list[int], ignored: list[list[float]] | None = None) -> DetDataSample:
    """Object number i of a frame lies where the i-th of `OBJECTS` does; its class is 5 - i."""
    sample = DetDataSample()
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(OBJECTS[: len(ids)]).reshape(-1, 4),
        labels=torch.tensor([5 - i for i in range(len(ids))], dtype=torch.int64),
        instances_ids=torch.tensor(ids, dtype=torch.int64),
    )
    if ignored is not None:
        sample.ignored_instances = InstanceData(bboxes=torch.tensor(ignored).reshape(-1, 4))
    return sample


def pair(key: DetDataSample, ref: DetDataSample) -> TrackDataSample:
    sample = TrackDataSample()
    sample.video_data_samples = [key, ref]
    sample.set_metainfo({"key_frames_inds": [0], "ref_frames_inds": [1]})
    return sample


def proposals(count: int = 1, field: str = "bboxes") -> list[InstanceData]:
    """For each image one proposal beside each object (IoU .9), and one far from all."""
    moved = [[x1 + 1, y1, x2 + 1, y2] for x1, y1, x2, y2 in OBJECTS]
    return [InstanceData(**{field: torch.tensor([*moved, FAR])}) for _ in range(count)]


def loss_of(head: OccQuasiDenseTrackHead, *pairs: TrackDataSample, field: str = "bboxes") -> dict[str, Tensor]:
    count = len(pairs)
    return head.loss(features(count), features(count, 1), proposals(count, field), proposals(count, field), list(pairs))


# the loss


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 9), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_the_factorised_loss_equals_the_expanded_one(seed: int, keys: int, refs: int, share: float):
    """In value and gradient, also of rows without positives or without negatives, as share 0 and 1 give."""
    generator = torch.Generator().manual_seed(seed)
    similarity = (4 * torch.randn(keys, refs, generator=generator, dtype=torch.float64)).requires_grad_()
    targets = (torch.rand(keys, refs, generator=generator) < share).int()
    weights = targets.any(dim=1).double()
    arguments = (similarity, targets, weights)
    expanded = MultiPosCrossEntropyLoss(loss_weight=0.25)(*arguments, avg_factor=weights.sum())
    factorised = MultiPositiveLoss(0.25)(*arguments, avg_factor=weights.sum())
    torch.testing.assert_close(factorised, expanded, rtol=1e-6, atol=1e-9)  # mmdet adds 1e-7 to the number of keys
    (expected,) = torch.autograd.grad(expanded, similarity)
    (found,) = torch.autograd.grad(factorised, similarity)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_the_loss_as_it_is_written():
    loss = multi_positive_loss(torch.tensor([[2.0, 1.0, 0.5, -1.0]]), torch.tensor([[True, True, False, False]]))
    pairs = torch.tensor([0.5 - 2, -1 - 2, 0.5 - 1, -1 - 1])
    torch.testing.assert_close(loss, torch.log(1 + pairs.exp().sum()).reshape(1))


def test_very_similar_negatives_keep_their_gradient():
    """PCAN clamps negatives at 80, above which they would learn nothing."""
    similarity = torch.tensor([[-200.0, 300.0]], requires_grad=True)
    loss = multi_positive_loss(similarity, torch.tensor([[True, False]]))
    loss.sum().backward()
    assert loss.item() == 500 and similarity.grad.tolist() == [[-1, 1]]


def test_the_loss_is_averaged_over_the_keys_that_have_a_positive():
    similarity, targets = torch.tensor([[1.0, 0.0], [5.0, 7.0]]), torch.tensor([[1, 0], [0, 0]])
    weights = targets.any(dim=1).float()
    loss = MultiPositiveLoss(loss_weight=2.0)(similarity, targets, weights, avg_factor=weights.sum())
    torch.testing.assert_close(loss, 2 * torch.log1p(torch.tensor(-1.0).exp()))


# what is compared


def test_an_embedding_per_box_of_whichever_count():
    head = build()
    assert head.embed_dim == D
    boxes = torch.tensor(OBJECTS)
    embeddings = head.embed(features(1), boxes)
    assert embeddings.shape == (3, D)
    torch.testing.assert_close(head.embed(features(1), boxes[1:2]), embeddings[1:2])
    nothing = head.embed(features(1), boxes[:0])
    assert nothing.shape == (0, D)
    nothing.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_positives_of_the_key_are_compared_with_all_rois_of_the_reference():
    head, seen = build(), []
    head.extract_roi_feats = lambda feats, boxes: seen.append(boxes) or torch.zeros(sum(map(len, boxes)), C, 3, 3)
    loss_of(head, pair(frame([1, 2]), frame([1, 2, 3])), pair(frame([]), frame([4])))
    counts = [[len(boxes) for boxes in frames] for frames in seen]
    assert counts == [[4, 0], [7, 5]], "objects and their neighbours; in the reference what is far from them too"


def test_partners_are_the_objects_of_the_same_id():
    assert partner_indices(frame([7, 5, 6]), frame([5, 9, 7])).tolist() == [2, 0, -1]
    assert partner_indices(frame([7, 5]), frame([])).tolist() == [-1, -1]
    assert partner_indices(frame([]), frame([5])).tolist() == []


def test_keys_like_their_partners_cost_nothing():
    """And those like others than their partners do."""
    head, embedded = build(), torch.eye(4, D) * 8
    losses = []
    for order in ([0, 1], [1, 0]):
        # of the key two objects and their neighbours, of the reference these and what is far
        key = embedded[[*order, *order]]
        outputs = iter([key, torch.cat([embedded[[0, 1, 0, 1]], embedded[[2, 3]]])])
        head.embed_head.forward = lambda feats, outputs=outputs: next(outputs)
        losses.append(loss_of(head, pair(frame([1, 2]), frame([1, 2]))))
    assert losses[0]["loss_track"] < 1e-6 < 1 < losses[1]["loss_track"]
    assert losses[0]["loss_track_aux"] < 1e-6
    # 8 positives of cosine 0, 8 negatives of cosine 1 less the margin, 8 negatives that cost nothing
    torch.testing.assert_close(losses[1]["loss_track_aux"], torch.tensor((8 * 1 + 8 * 0.7**2) / 24))


@pytest.mark.parametrize(
    "key, ref",
    [([1, 2], [3, 4]), ([1, 2], []), ([], [1, 2]), ([], [])],
    ids=["none of them in the reference", "empty reference", "empty key", "both empty"],
)
def test_without_a_common_object_the_losses_are_zero_and_reach_every_parameter(key, ref):
    head = build()
    losses = loss_of(head, pair(frame(key), frame(ref)))
    assert losses["loss_track"] == 0 and losses["loss_track_aux"] == 0
    sum(losses.values()).backward()
    assert all(parameter.grad is not None and (parameter.grad == 0).all() for parameter in head.parameters())


def test_a_common_object_trains_every_parameter():
    head = build()
    losses = loss_of(head, pair(frame([1, 2]), frame([2, 1])), pair(frame([]), frame([1])))
    sum(losses.values()).backward()
    assert losses["loss_track"] > 0 and losses["loss_track_aux"] > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_embeddings_are_compared_in_float32_under_autocast():
    """In bfloat16 these two would be as similar to each other as to themselves: 256 + .5 is not a number there."""
    head = build()
    result = head._sample(features(1), proposals(), [frame([1, 2])])[0]
    key, ref = torch.zeros(4, D), torch.zeros(6, D)
    key[:, 0], ref[:, 0] = 16, 16 + torch.arange(6) / 32
    with torch.autocast("cpu", torch.bfloat16):
        (products,), (cosines,) = head.embed_head.match(key, ref, [result], [result])
    assert products.dtype == cosines.dtype == torch.float32
    assert products[0].tolist() == [256 + i / 2 for i in range(6)]


# what mmdet's does to its input


def test_nothing_that_is_passed_in_changes():
    """mmdet's QDTrack sets all labels to 0 (B2), and its track head renames the reference's proposals (B10)."""
    head, sample = build(), pair(frame([1, 2], ignored=[FAR]), frame([2, 1, 3], ignored=[]))
    key_proposals, ref_proposals = proposals(), proposals()
    before = deepcopy((sample, key_proposals, ref_proposals))
    head.loss(features(1), features(1, 1), key_proposals, ref_proposals, [sample])
    for now, then in zip((sample[0], sample[1]), (before[0][0], before[0][1]), strict=True):
        assert now.gt_instances.labels.tolist() == then.gt_instances.labels.tolist() != [0] * len(now.gt_instances)
        assert set(now.gt_instances.keys()) == set(then.gt_instances.keys())
        assert torch.equal(now.gt_instances.bboxes, then.gt_instances.bboxes)
    for now, then in zip(key_proposals + ref_proposals, before[1] + before[2], strict=True):
        assert now.keys() == then.keys() == ["bboxes"] and torch.equal(now.bboxes, then.bboxes)


def test_proposals_of_the_rpn_and_of_a_roi_head_are_alike():
    losses = [loss_of(build(), pair(frame([1, 2]), frame([2, 1])), field=field) for field in ("bboxes", "priors")]
    assert losses[0] == losses[1]


def test_the_reference_has_ignored_regions_of_its_own():
    """What is far lies in a crowd of the reference, so that it is no negative there; mmdet asks the key's (B10)."""
    training = TRAINING | {"assigner": TRAINING["assigner"] | {"ignore_iof_thr": 0.5}}
    head, seen = build(train_cfg=training), []
    head.extract_roi_feats = lambda feats, boxes: seen.append(boxes[0]) or torch.zeros(len(boxes[0]), C, 3, 3)
    for key, ref in (([], [FAR]), ([FAR], [])):
        loss_of(head, pair(frame([1, 2, 3], ignored=key), frame([1, 2, 3], ignored=ref)))
    in_crowd, in_key_only = seen[1], seen[3]
    assert FAR not in in_crowd.tolist() and FAR in in_key_only.tolist()


def test_parameters_are_named_as_in_the_released_checkpoints():
    assert sorted(build().state_dict()) == sorted(
        [f"embed_head.convs.{i}.{name}" for i in range(4) for name in ("conv.weight", "gn.weight", "gn.bias")]
        + [f"embed_head.{layer}.{name}" for layer in ("fcs.0", "fc_embed") for name in ("weight", "bias")]
    )
