"""Frame-level prototypical attention: what is read when, what is written when, and what never changes."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from torch import Tensor

from vos_occ.models.video.frame_attention import AttentionMemory, PrototypeAttention
from vos_occ.structures.errors import InputError

CHANNELS = 8
SIZES = ((6, 10), (3, 5), (2, 3), (1, 2), (1, 1))


def frame(seed: int, batch: int = 1, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, CHANNELS, *size, generator=generator, dtype=dtype) for size in SIZES)


def attention(**kwargs: object) -> PrototypeAttention:
    torch.manual_seed(0)
    return PrototypeAttention(CHANNELS, num_prototypes=5, **kwargs).eval()


def run(
    layer: PrototypeAttention, frames: list[tuple[Tensor, ...]]
) -> tuple[list[tuple[Tensor, ...]], AttentionMemory]:
    memory, outputs = None, []
    for feats in frames:
        attended, memory = layer(feats, memory)
        outputs.append(attended)
    return outputs, memory


def by_definition(mu: Tensor, maps: list[Tensor], share: float, momentum: float) -> tuple[list[Tensor], Tensor, Tensor]:
    """The equations of docs/sources.md, trackers 3.2 for one level (C, n) of each frame."""
    memory, outputs = maps[0], []
    for x in maps:
        prototypes = mu
        for _ in range(3):
            z = torch.softmax(20 * memory.T @ prototypes, dim=1)
            prototypes = memory @ (z / z.sum(0))
            prototypes = prototypes / prototypes.norm(dim=0)
        x = (1 - share) * x + share * prototypes @ torch.softmax(x.T @ prototypes, dim=1).T
        outputs.append(x)
        memory = (1 - share) * x + share * memory
        mu = momentum * mu + (1 - momentum) * prototypes
    return outputs, memory, mu


@pytest.mark.parametrize("options", [{}, {"share": 0.4, "momentum": 0.9}], ids=["released", "others"])
def test_three_frames_equal_the_equations(options: dict[str, float]) -> None:
    layer, frames = attention(**options).double(), [frame(seed, dtype=torch.float64) for seed in range(3)]
    share, momentum = (options or {"share": 0.25, "momentum": 0.5}).values()
    outputs, memory = run(layer, frames)
    for level in (0, 1):
        maps = [feats[level][0].flatten(1) for feats in frames]
        expected, expected_map, expected_mu = by_definition(getattr(layer, f"mu{level}")[0], maps, share, momentum)
        for found, x in zip(outputs, expected, strict=True):
            torch.testing.assert_close(found[level][0].flatten(1), x)
        torch.testing.assert_close(memory.maps[level][0].flatten(1), expected_map)
        torch.testing.assert_close(memory.prototypes[level][0], expected_mu)


def test_a_frame_is_read_before_it_is_written() -> None:
    """With frames before it, a cell's answer depends on itself and the past, on no other cell of its frame."""
    layer = attention()
    _, memory = run(layer, [frame(0)])
    changed = frame(1)
    changed[0][..., 0, 0] += 5
    before, after = layer(frame(1), memory)[0][0], layer(changed, memory)[0][0]
    differs = (before != after).any(1)[0]
    assert differs[0, 0] and differs.sum() == 1
    first, first_changed = layer(frame(1), None)[0][0], layer(changed, None)[0][0]
    assert (first != first_changed).any(1)[0].sum() > 1  # the first frame is its own memory


def test_levels_not_named_are_the_very_tensors_given() -> None:
    feats = frame(0)
    attended, memory = attention(levels=(1, 3))(feats, None)
    assert [a is b for a, b in zip(attended, feats, strict=True)] == [True, False, True, False, True]
    assert [tuple(kept.shape[2:]) for kept in memory.maps] == [SIZES[1], SIZES[3]]


def test_the_memory_given_is_left_as_it_was() -> None:
    layer, feats = attention(), frame(0)
    given = deepcopy(feats)
    _, memory = layer(feats, None)
    kept = deepcopy(memory)
    layer(frame(1), memory)
    assert all(torch.equal(a, b) for a, b in zip(feats, given, strict=True))
    for found, expected in ((memory.maps, kept.maps), (memory.prototypes, kept.prototypes)):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_memory_does_not_grow_with_the_video() -> None:
    layer = attention()
    sizes = [
        [kept.untyped_storage().nbytes() for kept in (*memory.maps, *memory.prototypes)]
        for memory in (run(layer, [frame(seed) for seed in range(count)])[1] for count in (1, 12))
    ]
    assert sizes[0] == sizes[1]


def test_two_videos_in_turn_equal_two_apart() -> None:
    layer, one, other = attention(), [frame(s) for s in range(4)], [frame(s) for s in range(10, 14)]
    memories: list[AttentionMemory | None] = [None, None]
    in_turn: list[list[tuple[Tensor, ...]]] = [[], []]
    for pair in zip(one, other, strict=True):
        for i, feats in enumerate(pair):
            attended, memories[i] = layer(feats, memories[i])
            in_turn[i].append(attended)
    for found, video in zip(in_turn, (one, other), strict=True):
        for a, b in zip(found, run(layer, video)[0], strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_of_videos_equals_each_alone() -> None:
    layer, frames = attention(), [frame(seed, batch=2) for seed in range(3)]
    together = run(layer, frames)[0][-1][0]
    for i in range(2):
        alone = run(layer, [tuple(x[i : i + 1] for x in feats) for feats in frames])[0][-1][0]
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_buffers_are_never_written(mode: str) -> None:
    layer = attention().train(mode == "train")
    before = deepcopy(layer.state_dict())
    run(layer, [frame(seed) for seed in range(3)])
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_checkpoints_hold_one_start_per_level_and_nothing_else() -> None:
    state = PrototypeAttention().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {f"mu{i}": (1, 256, 30) for i in range(5)}
    assert not list(PrototypeAttention().parameters())
    for value in state.values():
        torch.testing.assert_close(value.norm(dim=1), torch.ones(1, 30))


def test_levels_start_at_their_own_buffers() -> None:
    layer = attention(levels=(1,))
    before = layer(frame(0), None)[1].prototypes[0]
    layer.mu0.zero_()
    assert torch.equal(layer(frame(0), None)[1].prototypes[0], before)
    layer.mu1.neg_()
    assert not torch.equal(layer(frame(0), None)[1].prototypes[0], before)


def test_blank_frames_stay_finite() -> None:
    layer, blank = attention(), tuple(torch.zeros_like(x) for x in frame(0))
    outputs, memory = run(layer, [blank, blank, frame(0), blank])
    assert all(x.isfinite().all() for feats in outputs for x in feats)
    assert all(x.isfinite().all() for x in (*memory.maps, *memory.prototypes))


def test_gradient_is_that_of_the_attention_and_stops_at_the_memory() -> None:
    layer = attention(levels=(1,)).double()
    _, memory = run(layer, [frame(0, dtype=torch.float64)])
    rest, x = frame(1, dtype=torch.float64), frame(1, dtype=torch.float64)[1].requires_grad_()

    def attended(x: Tensor) -> Tensor:
        return layer((rest[0], x), memory)[0][1]

    assert torch.autograd.gradcheck(attended, (x,), fast_mode=True)
    _, written = layer((rest[0], x), memory)
    assert not any(kept.requires_grad for kept in (*written.maps, *written.prototypes))
    assert not layer((rest[0], x), None)[1].maps[0].requires_grad


def test_bfloat16_frames_are_summed_up_in_float32() -> None:
    layer, frames = attention(), [frame(seed) for seed in range(3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, memory = run(layer, [tuple(x.bfloat16() for x in feats) for feats in frames])
    assert outputs[-1][0].dtype == memory.maps[0].dtype == torch.bfloat16
    assert memory.prototypes[0].dtype == torch.float32
    torch.testing.assert_close(outputs[-1][0].float(), run(layer, frames)[0][-1][0], rtol=0.05, atol=0.05)


def test_channels_last_maps_stay_so_and_give_the_same() -> None:
    layer, frames = attention(), [frame(seed) for seed in range(3)]
    last = [tuple(x.contiguous(memory_format=torch.channels_last) for x in feats) for feats in frames]
    found, memory = run(layer, last)
    assert found[-1][0].is_contiguous(memory_format=torch.channels_last)
    assert memory.maps[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found[-1], run(layer, frames)[0][-1])


def test_a_share_of_zero_leaves_the_frames_as_they_are() -> None:
    outputs, _ = run(attention(share=0.0), [frame(0), frame(1)])
    torch.testing.assert_close(outputs[1], frame(1))


def test_the_memory_of_a_video_of_another_size_is_refused() -> None:
    layer = attention()
    _, memory = run(layer, [tuple(x[..., :1] for x in frame(0))])
    with pytest.raises(InputError, match=r"Level 0 .*\(1, 8, 6, 10\).*\(1, 8, 6, 1\)"):
        layer(frame(1), memory)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"levels": (0, 5)}, r"levels 0 to 4, found levels=\(0, 5\)"),
        ({"share": 1.5}, "share and momentum in"),
        ({"momentum": -0.1}, "share and momentum in"),
    ],
)
def test_impossible_options_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrototypeAttention(CHANNELS, **kwargs)


def test_too_few_levels_are_refused() -> None:
    with pytest.raises(InputError, match=r"levels \(0, 1\), found 1 feature levels"):
        attention()(frame(0)[:1], None)


def test_it_is_built_from_a_config() -> None:
    layer = MODELS.build({"type": "PrototypeAttention", "channels": 16, "num_prototypes": 3, "num_levels": 4})
    assert [tuple(value.shape) for value in layer.buffers()] == [(1, 16, 3)] * 4
