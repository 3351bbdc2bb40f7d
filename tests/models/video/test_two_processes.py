"""Two processes under DistributedDataParallel learn as one with both their images."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vos_occ.models.bilayer.losses import batch_mean

pytestmark = pytest.mark.filterwarnings("ignore:DeprecationWarning:UserWarning")  # mmdet of itself

EVERY = 10**6
WITHOUT_CHANCE: dict[str, Any] = {
    # Samplers that take everything draw nothing. mmdet divides by the number of samples of a process, which is the
    # same in both if no anchor is left out between two thresholds and non-maximum suppression removes no proposal.
    "detector.train_cfg.rpn.sampler.num": EVERY,
    "detector.train_cfg.rpn.assigner.neg_iou_thr": 0.7,
    "detector.train_cfg.rpn.assigner.min_pos_iou": 0.7,
    "detector.train_cfg.rpn_proposal.nms.iou_threshold": 1.0,
    "detector.train_cfg.rpn_proposal.max_per_img": 40,
    "detector.train_cfg.rcnn.sampler.num": EVERY,
    "detector.train_cfg.rcnn.sampler.pos_fraction": 1.0,
    "detector.train_cfg.rcnn.sampler.add_gt_as_proposals": False,
    "detector.train_cfg.rcnn.assigner.pos_iou_thr": 0.3,
    "detector.train_cfg.rcnn.assigner.neg_iou_thr": 0.3,
    "detector.train_cfg.rcnn.assigner.min_pos_iou": 0.3,
    "track_head.train_cfg.sampler.num": EVERY,
    "track_head.train_cfg.sampler.pos_fraction": 1.0,
    "detector.roi_head.mask_losses.sampling": "all",
}


def in_two_processes(work: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `work(rank, *arguments)` answers in each of two processes joined by gloo."""
    context = mp.start_processes(
        _process, args=(work, str(folder), arguments), nprocs=2, join=False, start_method="fork"
    )
    while not context.join(timeout=120):
        pass
    return [torch.load(folder / f"answer{rank}.pt") for rank in range(2)]


def _process(rank: int, work: Callable[..., Any], folder: str, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(work(rank, *arguments), Path(folder) / f"answer{rank}.pt")
    dist.destroy_process_group()


def mean_and_gradient(rank: int, losses: list[Tensor]) -> tuple[Tensor, Tensor]:
    own = losses[rank].clone().requires_grad_()
    loss = batch_mean(own)
    loss.backward()
    return loss.detach(), own.grad


@pytest.mark.parametrize("sizes", [(3, 5), (0, 4), (0, 0)], ids=["uneven", "none in one", "none"])
def test_a_mean_over_processes_averages_to_that_of_all(tmp_path: Path, sizes: tuple[int, int]) -> None:
    losses = [torch.arange(1.0, size + 1) ** (rank + 1) for rank, size in enumerate(sizes)]
    answers = in_two_processes(mean_and_gradient, tmp_path, losses)
    together = torch.cat(losses)
    expected = together.mean() if len(together) else torch.tensor(0.0)
    assert torch.allclose(sum(loss for loss, _ in answers) / 2, expected)
    for own, (_, gradient) in zip(losses, answers, strict=True):
        assert torch.allclose(gradient / 2, torch.full_like(own, 1 / max(1, len(together))))


class WithLosses(torch.nn.Module):
    """A model whose forward is its total loss, as DistributedDataParallel wants it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, samples: list) -> Tensor:
        return self.model.parse_losses(self.model.loss(inputs, samples))[0]


def gradients_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def step_of_one_image(rank: int, model: torch.nn.Module, inputs: Tensor, samples: list) -> dict[str, Tensor]:
    parallel = DistributedDataParallel(WithLosses(model.train()), find_unused_parameters=True)
    parallel(inputs[rank : rank + 1], samples[rank : rank + 1]).backward()
    return gradients_of(model)


def test_two_processes_have_the_gradients_of_one_with_the_doubled_batch(
    build_tiny_model: Callable, training_batch: Callable, tmp_path: Path
) -> None:
    model = build_tiny_model(WITHOUT_CHANCE)
    inputs, samples = training_batch(model)
    assert len(inputs) == 2
    both = in_two_processes(step_of_one_image, tmp_path, model, inputs, samples)
    model.train().zero_grad()
    WithLosses(model)(inputs, samples).backward()
    alone = gradients_of(model)
    assert both[0].keys() == both[1].keys() == alone.keys()
    for name, gradient in alone.items():
        assert torch.equal(both[0][name], both[1][name]), name
        difference = float((both[0][name] - gradient).norm() / gradient.norm().clamp(min=1e-12))
        assert difference < 1e-3, (name, difference)
    assert all(float(gradient.abs().max()) > 0 for name, gradient in alone.items() if "mask_head" in name)
