"""The embedding head: the last layer, the similarity, and the loss over the reference's objects."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmdet.models.tracking_heads import RoIEmbedHead
from torch import Tensor

from vos_occ.models.video.embedding import OccRoIEmbedHead

C, D = 4, 8
OPTIONS = {"num_fcs": 2, "in_channels": C, "fc_out_channels": D, "roi_feat_size": 3}


def build(**options: Any) -> OccRoIEmbedHead:
    torch.manual_seed(0)
    return OccRoIEmbedHead(**OPTIONS, **options)


def features(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, C, 3, 3, generator=torch.Generator().manual_seed(seed))


def sampled(assigned: list[int], negatives: int = 0) -> SimpleNamespace:
    """A sampling result: positives assigned to objects, then negatives."""
    boxes = torch.zeros(len(assigned) + negatives, 4)
    return SimpleNamespace(
        pos_assigned_gt_inds=torch.tensor(assigned).long(), bboxes=boxes, pos_bboxes=boxes[: len(assigned)]
    )


def loss_of(head: OccRoIEmbedHead, keys: Tensor, references: Tensor, assigned: list[int], ids: list, ref_ids: list):
    return head.loss_by_feat(
        [keys],
        [references],
        [sampled(assigned, len(keys) - len(assigned))],
        [torch.tensor(ids).long()],
        [torch.tensor(ref_ids).long()],
    )


@pytest.mark.parametrize("relu_last", [True, False])
def test_last_relu_is_a_choice(relu_last: bool) -> None:
    (embeddings,) = build(relu_last=relu_last).extract_feat(features(20), [20])
    assert (embeddings >= 0).all() == relu_last


def test_with_the_last_relu_embeddings_are_mmdets() -> None:
    ours, theirs = build(relu_last=True), RoIEmbedHead(**OPTIONS)
    theirs.load_state_dict(ours.state_dict())
    found, expected = (head.extract_feat(features(5), [2, 3]) for head in (ours, theirs))
    assert all(map(torch.equal, found, expected)) and len(found) == 2


def test_new_object_is_the_first_column_and_always_zero() -> None:
    head = build()
    logits = head.similarity_logits(torch.ones(2, D), torch.ones(3, D))
    assert logits.tolist() == [[0, D, D, D]] * 2
    assert head.similarity_logits(torch.ones(2, D), torch.ones(0, D)).tolist() == [[0], [0]]


def test_cosine_embeddings_have_length_one_and_compare_by_angle() -> None:
    head = build(similarity="cosine")
    (embeddings,) = head.extract_feat(features(5), [5])
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))
    logits = head.similarity_logits(embeddings, embeddings)
    torch.testing.assert_close(logits[:, 1:].diagonal(), (head.log_scale.exp() - head.offset).expand(5))
    (longer,) = head.extract_feat(3 * features(5), [5])
    assert longer.shape == embeddings.shape
    assert (logits[:, 1:] <= head.log_scale.exp() - head.offset + 1e-5).all()


def test_cosine_learns_where_new_begins() -> None:
    head = build(similarity="cosine")
    (keys,) = head.extract_feat(features(3), [3])
    loss_of(head, keys, keys, [0, 1, 2], [1, 2, 3], [1, 2, 9])["loss_match"].backward()
    assert head.log_scale.grad != 0 and head.offset.grad != 0


def test_dot_product_has_mmdets_parameters() -> None:
    assert set(build().state_dict()) == set(RoIEmbedHead(**OPTIONS).state_dict())


@pytest.mark.parametrize("similarity", ["dot_product", "cosine"])
def test_mmdets_predict_uses_the_same_similarity(similarity: str) -> None:
    head = build(similarity=similarity)
    (keys,), (references,) = head.extract_feat(features(2), [2]), head.extract_feat(features(3, 1), [3])
    (logits,) = head.predict(features(2), features(3, 1))
    assert torch.equal(logits, head.similarity_logits(keys, references))


def test_targets_are_the_columns_of_the_same_ids() -> None:
    """Key objects 7, 5, 6; the reference has 5 and 7: the third is new. Two positives match, so the sum is halved."""
    keys, references = 3 * torch.eye(3, D), 3 * torch.eye(2, D)
    losses = loss_of(build(), keys, references, [0, 1, 2], [7, 5, 6], [5, 7])
    logits = build().similarity_logits(keys, references)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([2, 1, 0]), reduction="sum") / 2
    torch.testing.assert_close(losses["loss_match"], expected)


def test_negatives_do_not_count() -> None:
    keys, references = torch.eye(4, D), torch.eye(2, D)
    with_negatives = loss_of(build(), keys, references, [0, 1], [1, 2], [1, 2])
    without = loss_of(build(), keys[:2], references, [0, 1], [1, 2], [1, 2])
    assert with_negatives["loss_match"] == without["loss_match"]
    assert with_negatives["match_accuracy"] == 100


@pytest.mark.parametrize(
    ("keys", "references"), [(0, 2), (2, 0), (0, 0)], ids=["no sampled RoI", "empty reference", "neither"]
)
def test_nothing_to_compare_gives_a_loss_that_can_be_differentiated(keys: int, references: int) -> None:
    head = build()
    (key_embeddings,) = head.extract_feat(features(keys), [keys])
    (ref_embeddings,) = head.extract_feat(features(references, 1), [references])
    losses = loss_of(
        head, key_embeddings, ref_embeddings, list(range(keys)), list(range(keys)), list(range(9, 9 + references))
    )
    losses["loss_match"].backward()
    assert losses["loss_match"].isfinite() and losses["match_accuracy"].isfinite()
    assert all(parameter.grad is not None for parameter in head.parameters())
