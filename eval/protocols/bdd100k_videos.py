"""Which predicted video and frame answers which true one, by BDD100K's names or, if official, by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.errors import SchemaError, listed
from eval.protocols.protocol import Request
from eval.readers.record import Record
from eval.readers.scalabel import frame_index

Key = int | str


def pair_videos(
    gt: Sequence[str], pred: Sequence[str], request: Request, fills: bool
) -> tuple[list[tuple[str, str | None]], tuple[str, ...]]:
    """Find the predicted video of each true one.

    Args:
        gt, pred: Names of videos, sorted.
        request: What was asked for.
        fills: Whether the official evaluator lets a video without predictions pass as empty.

    Returns:
        Pairs of names, None where nothing is predicted, and warnings.

    Raises:
        SchemaError: A video is missing, or nobody asked for it.
    """
    if not gt:
        raise SchemaError(f"'{request.gt}' has no frames. Name the ground truth.")
    if request.official and len(gt) == len(pred):
        strange = sorted(set(pred) - set(gt))
        warning = f"Videos are compared in the order of their names, but their names differ: {listed(strange)}."
        return list(zip(gt, pred, strict=True)), (warning,) if list(gt) != list(pred) else ()
    extra, missing = sorted(set(pred) - set(gt)), sorted(set(gt) - set(pred))
    if extra:
        raise SchemaError(
            f"'{request.pred}' has videos that the ground truth '{request.gt}' does not have: {listed(extra)}. "
            "Correct their names or remove them."
        )
    if missing and not request.allow_missing and not (request.official and fills):
        raise SchemaError(
            f"'{request.pred}' has no predictions for {len(missing)} of {len(gt)} videos: {listed(missing)}. "
            "Add them (frames without labels where nothing is found), or use --allow-missing."
        )
    warning = f"{len(missing)} of {len(gt)} videos have no predictions and count as empty: {listed(missing)}."
    return [(name, name if name in set(pred) else None) for name in gt], (warning,) if missing else ()


def pair_frames(
    gt: Sequence[Record], pred: Sequence[Record], gt_source: str, pred_source: str, official: bool
) -> list[Record]:
    """The predicted frame of each true one, in the order of the true ones.

    Args:
        gt, pred: Frames of one video, by `frameIndex`.
        gt_source, pred_source: For errors.
        official: Pair by position, and only ask that `frameIndex` is the same.

    Raises:
        SchemaError: A frame is missing or there twice, or nobody asked for it.
    """
    indices = [[frame_index(frame) for frame in side] for side in (gt, pred)]
    if official:
        if indices[0] != indices[1]:
            raise SchemaError(
                f"{pred_source} has {len(pred)} frames and {gt_source} has {len(gt)}, or their frameIndex differs; "
                "scalabel asks for the same frames. Write every frame, with labels [] where nothing is found."
            )
        return list(pred)
    by_name = any(index is None for side in indices for index in side)
    sides = [
        _by_key([frame.values.get("name") for frame in side] if by_name else index, side, by_name)
        for side, index in zip((gt, pred), indices, strict=True)
    ]
    _refuse_other_frames(list(sides[0]), list(sides[1]), gt_source, pred_source)
    return [sides[1][key] for key in sides[0]]


def _by_key(keys: Sequence[Key | None], frames: Sequence[Record], by_name: bool) -> dict[Key, Record]:
    field = "name" if by_name else "frameIndex"
    result: dict[Key, Record] = {}
    for key, frame in zip(keys, frames, strict=True):
        if key is None:
            raise frame.error(field, "is missing, as is frameIndex", "Give every frame a frameIndex.")
        if key in result:
            raise frame.error(
                field, f"is {key}, as that of {result[key].where} of video {frame.values['videoName']}", "Correct it."
            )
        result[key] = frame
    return result


def pair_files(
    gt: Mapping[str, Path], pred: Mapping[str, Path] | None, official: bool
) -> list[tuple[Path, Path | None]]:
    """The predicted picture of each true one, by name; None where nothing is predicted of the video.

    Raises:
        SchemaError: A frame is missing, or, unless official, nobody asked for it.
    """
    if pred is None:
        return [(path, None) for path in gt.values()]
    found = [name for name in pred if name in gt] if official else list(pred)
    sources = [str(next(iter(side.values())).parent) for side in (gt, pred)]
    _refuse_other_frames(list(gt), found, *sources)
    return [(path, pred[name]) for name, path in gt.items()]


def _refuse_other_frames(gt: Sequence[Key], pred: Sequence[Key], gt_source: str, pred_source: str) -> None:
    missing = [key for key in gt if key not in set(pred)]
    if missing:
        raise SchemaError(
            f"{pred_source}: {len(missing)} of {len(gt)} frames are missing: {listed(missing)}. "
            "Write every frame, without objects where nothing is found."
        )
    extra = [key for key in pred if key not in set(gt)]
    if extra:
        raise SchemaError(f"{pred_source} has frames that {gt_source} does not have: {listed(extra)}. Remove them.")
