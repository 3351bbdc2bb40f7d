"""What every accepted file must be, checked from its bytes by plain loops that share nothing with the readers.

Each function raises `Impossible` for what no valid file holds. They are as strict as the formats, not as the readers.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.scores import Scores

MOST_PIXELS = 10**8


class Impossible(Exception):
    """A reader accepted what cannot be."""


def require(condition: object, problem: str) -> None:
    """Raise unless a fact holds."""
    if not condition:
        raise Impossible(problem)


def document(data: bytes) -> Any:
    """The value of a JSON file; truncated ones raise."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Impossible(f"accepted, but not JSON: {error}") from None


def integer(value: Any, what: str, least: int | None = None) -> int:
    require(type(value) is int, f"{what} is {value!r:.60}, no integer")
    require(least is None or value >= least, f"{what} is {value!r:.60}, below {least}")
    return value


def number(value: Any, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    require(type(value) in (int, float), f"{what} is {value!r:.60}, no number")
    require(type(value) is int or math.isfinite(value), f"{what} is {value!r:.60}, not finite")
    require(abs(value) <= 1.8e308 and least <= value <= most, f"{what} is {value!r:.60}, outside [{least}, {most}]")
    return value


def distinct(values: Iterable[Any], what: str) -> None:
    values = list(values)
    require(len(set(values)) == len(values), f"{what} repeats in {str(values):.100}")


# Masks ------------------------------------------------------------------------------------------------------------


def runs_of(code: str) -> list[int]:
    """Run lengths of a compressed code, in exact integers."""
    runs: list[int] = []
    value, digits = 0, 0
    for character in code:
        digit = ord(character) - 48
        require(0 <= digit < 64, f"a code holds {character!r}")
        value |= (digit & 31) << 5 * digits
        digits += 1
        if not digit & 32:
            value -= (digit & 16 and 1) << 5 * digits
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value, digits = 0, 0
    require(digits == 0 and runs, "a code is cut off")
    return runs


def pixels_of(counts: str | list[int], height: int, width: int) -> int:
    """Foreground of a mask whose runs must fill its size."""
    runs = runs_of(counts) if isinstance(counts, str) else [integer(run, "a run") for run in counts]
    require(height * width <= MOST_PIXELS, f"a mask of {height} x {width}")
    require(min(runs) >= 0 and sum(runs) == height * width, f"runs {str(runs):.80} of a mask of {height} x {width}")
    return sum(runs[1::2])


def mask_pixels(value: Any, height: int, width: int, flat: bool = False) -> int | None:
    """Foreground of a written mask; None where it has to be drawn or is not there."""
    if value is None or value == []:
        return None
    if isinstance(value, list):
        if flat and not isinstance(value[0], list):
            value = [value]
        for polygon in value:
            require(
                isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0, "a polygon of two points"
            )
            for coordinate in polygon:
                number(coordinate, "a coordinate", -1e6, 1e6)
        return None
    require(isinstance(value, dict), f"a mask is {value!r:.60}")
    require(value.get("size") == [height, width], f"a mask of size {value.get('size')!r:.60}, not [{height}, {width}]")
    require(isinstance(value.get("counts"), str | list) and value["counts"], "a mask without counts")
    return pixels_of(value["counts"], height, width)


def box(value: Any) -> None:
    require(isinstance(value, list) and len(value) == 4, f"a box is {value!r:.60}")
    for i, entry in enumerate(value):
        number(entry, "a side of a box", 0 if i > 1 else -math.inf)


# COCO and its family ----------------------------------------------------------------------------------------------


def tables(content: Any, *names: str) -> list[dict[int, dict[str, Any]]]:
    """Lists of records by id."""
    require(isinstance(content, dict), "the document is no object")
    found = []
    for name in names:
        records = content.get(name)
        require(isinstance(records, list), f"{name} is no list")
        distinct((integer(record.get("id"), f"id in {name}") for record in records), f"id in {name}")
        found.append({record["id"]: record for record in records})
    return found


def image_size(image: Mapping[str, Any]) -> tuple[int, int]:
    size = integer(image.get("height"), "height", 1), integer(image.get("width"), "width", 1)
    require(size[0] * size[1] <= MOST_PIXELS, f"an image of {size}")
    return size


def coco_truth(data: bytes, order: bool = True) -> dict[int, int | None]:
    """A file of COCO's annotations.

    Args:
        data: The file.
        order: Whether `in_front_of` was read.

    Returns:
        Pixels of the mask of each annotation, None where there is none or it must be drawn.
    """
    content = document(data)
    images, categories = tables(content, "images", "categories")
    distinct((str(record.get("name")) for record in categories.values()), "category name")
    for image in images.values():
        image_size(image)
    if content.get("annotations") is None:
        return {}
    (annotations,) = tables(content, "annotations")
    found = {}
    for key, record in annotations.items():
        require(record.get("image_id") in images, f"annotation {key} of image {record.get('image_id')!r:.40}")
        require(record.get("category_id") in categories, f"annotation {key} of no category")
        require(record.get("iscrowd", 0) in (0, 1), "iscrowd")
        height, width = image_size(images[record["image_id"]])
        found[key] = mask_pixels(record.get("segmentation"), height, width)
        if record.get("bbox"):
            box(record["bbox"])
        if record.get("area") is not None:
            number(record["area"], "area", 0)
        if record.get("hidden") is not None:
            number(record["hidden"], "hidden", 0, 1)
        for other in record.get("in_front_of") or () if order else ():
            require(other in annotations and other != key, f"annotation {key} in front of {other!r:.40}")
            require(annotations[other].get("image_id") == record["image_id"], "in front of an object of another image")
    return found


def coco_results(
    data: bytes, truth: bytes, scores: bool = True, classes: bool = True, flat: bool = False
) -> list[int | None]:
    """A results file; pixels of each record's mask."""
    content = document(truth)
    records = document(data)
    images = {record["id"]: record for record in content["images"]}
    categories = {record["id"] for record in content.get("categories", ())}
    require(isinstance(records, list), "results are no list")
    found = []
    for record in records:
        require(record.get("image_id") in images, f"a result of image {record.get('image_id')!r:.40}")
        require(not classes or record.get("category_id") in categories, "a result of no category")
        if scores:
            number(record.get("score"), "score")
        if record.get("bbox"):
            box(record["bbox"])
        found.append(mask_pixels(record.get("segmentation"), *image_size(images[record["image_id"]]), flat))
    return found


def ytvis_truth(data: bytes, scored: bool = False) -> None:
    """A file of YouTube-VIS' annotations.

    Args:
        data: The file.
        scored: Whether only what scores need was read.
    """
    content = document(data)
    videos, categories = tables(content, "videos", "categories")
    distinct((str(record.get("name")) for record in categories.values()), "category name")
    for video in videos.values():
        image_size(video)
        files = video.get("file_names") or []
        length = integer(video.get("length", len(files)), "length", 1)
        require(not files or len(files) == length, "file_names of another length")
    if content.get("annotations") is None:
        return
    (annotations,) = tables(content, "annotations")
    names = _SCORED if scored else _PER_FRAME
    for key, record in annotations.items():
        require(record.get("iscrowd", 0) in (0, 1), "iscrowd")
        _track(record, videos, categories, names)
        for t in range(len(record["segmentations"])):
            at = {name: record[name][t] for name in names if record.get(name) is not None}
            require(at.get("occlusion") in (None, *_LEVELS), "occlusion")
            for name, most in (("areas", math.inf), ("hidden", 1)):
                if at.get(name) is not None:
                    number(at[name], name, 0, most)
            if at.get("bboxes") and at["segmentations"]:
                box(at["bboxes"])
            for other in at.get("in_front_of") or ():
                require(other in annotations and other != key, f"annotation {key} in front of {other!r:.40}")


_LEVELS = ("no_occlusion", "slight_occlusion", "severe_occlusion")
_SCORED = ("segmentations", "areas", "occlusion")
_PER_FRAME = (*_SCORED, "bboxes", "amodal_segmentations", "hidden", "in_front_of")


def ytvis_results(data: bytes, truth: bytes) -> None:
    """A results.json of YouTube-VIS."""
    content = document(truth)
    videos = {record["id"]: record for record in content["videos"]}
    categories = {record["id"]: record for record in content["categories"]}
    records = document(data)
    require(isinstance(records, list), "results are no list")
    for record in records:
        number(record.get("score"), "score")
        _track(record, videos, categories, ("segmentations",))


def _track(
    record: Mapping[str, Any], videos: Mapping[int, Any], categories: Mapping[int, Any], names: Sequence[str]
) -> None:
    require(record.get("video_id") in videos, f"a track of video {record.get('video_id')!r:.40}")
    require(record.get("category_id") in categories, "a track of no category")
    video = videos[record["video_id"]]
    length = video.get("length", len(video.get("file_names") or []))
    for name in names:
        value = record.get(name)
        if value is None and name != "segmentations":
            continue
        require(isinstance(value, list) and len(value) == length, f"{name} of another length than the video")
        for mask in value if name.endswith("segmentations") else ():
            mask_pixels(mask, *image_size(video))


# Pictures ---------------------------------------------------------------------------------------------------------


def whole_png(data: bytes) -> tuple[int, int]:
    """A PNG that is all there; (height, width)."""
    require(data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG")
    at, kinds, pixels, header = 8, [], b"", b""
    while True:
        require(at + 12 <= len(data), "a PNG that is cut off")
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        require(
            data[at + 8 + length : at + 12 + length] == struct.pack(">I", zlib.crc32(kind + content)),
            "a PNG's check sum",
        )
        kinds.append(kind)
        header = content if kind == b"IHDR" else header
        pixels += content if kind == b"IDAT" else b""
        at += 12 + length
        if kind == b"IEND":
            break
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    require(width * height <= 10**8, f"a PNG of {width} x {height}")
    inflate, rows = zlib.decompressobj(), b""
    try:
        for at in range(0, len(pixels), 64):
            rows += inflate.decompress(pixels[at : at + 64])
    except zlib.error:
        pass  # all rows may have come before
    wanted = height * (1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours] + 7) // 8)
    require(interlaced or len(rows) >= wanted, f"a PNG with {len(rows)} of {wanted} bytes")
    return height, width


# Text -------------------------------------------------------------------------------------------------------------


def mots_rows(data: bytes, nameless: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Rows of a MOTS text file as (frame, id, class, height, width, pixels)."""
    rows = []
    for line in data.decode("ascii").split("\n"):
        fields = line.split()
        if fields:
            require(len(fields) == 6, f"a line of {len(fields)} fields")
            require(all(re.fullmatch(r"[+-]?\d+", field) for field in fields[:5]), "a field that is no number")
            frame, number_, category, height, width = map(int, fields[:5])
            require(frame >= 0 and height > 0 and width > 0, "a negative number")
            require(category in (1, 2, 10), f"class {category}")
            rows.append((frame, number_, category, height, width, pixels_of(fields[5], height, width)))
    require(len({row[3:5] for row in rows}) <= 1, "masks of several sizes")
    distinct(((row[0], row[1]) for row in rows if row[2] not in nameless), "id in a frame")
    return rows


def mot_rows(data: bytes, num_frames: int | None) -> dict[int, int]:
    """Objects that count of each frame of a MOT text file."""
    lines = [line.replace(",", " ").split() for line in data.decode("utf-8").splitlines() if line.strip()]
    whole = data.endswith((b"\n", b"\r")) or len({len(fields) for fields in lines[-2:]}) <= 1
    require(whole, "a last line that is shorter than the one before it")
    counted: dict[int, int] = {}
    for fields in lines:
        values = [float(field) for field in fields]
        require(len(values) >= 6 and all(math.isfinite(value) for value in values), "a number that is not finite")
        frame = int(values[0])
        require(1 <= frame <= (num_frames or 10**7), f"frame {frame}")
        require(values[4] >= 0 and values[5] >= 0, "a box of negative size")
        counted[frame] = counted.get(frame, 0) + (len(values) < 7 or values[6] != 0)
    distinct(((int(float(fields[0])), int(float(fields[1]))) for fields in lines), "id in a frame")
    return counted


def fractions(data: bytes) -> None:
    """A file of hidden fractions."""
    lines = [line.split() for line in data.decode().splitlines() if line.split()]
    for fields in lines:
        require(len(fields) == 3, "a line that has not three columns")
        require(0 <= float(fields[2]) <= 1, "a fraction")
        require(int(fields[0]) >= 0, "a negative frame")
    distinct(((int(fields[0]), int(fields[1])) for fields in lines), "id in a frame")


def zip_texts(data: bytes) -> dict[str, bytes]:
    """Sequences of a zip of text files: of each the file that lies highest; every name is there once."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        distinct(names, "name in a zip")
        texts = [name for name in names if name.endswith(".txt") and "__MACOSX" not in name and "/." not in f"/{name}"]
        highest = min((name.count("/") for name in texts), default=0)
        chosen = [name for name in texts if name.count("/") == highest]
        require(all(archive.getinfo(name).file_size < 10**8 for name in chosen), "a zip of enormous files")
        return {name.split("/")[-1][:-4]: archive.read(name) for name in chosen}


# Scores -----------------------------------------------------------------------------------------------------------

_UNBOUNDED = re.compile(r"MOTSA|MODSA")
_FRACTION = re.compile(r"^(AP|AR|HOTA|Det|Ass|Loc|IDF1|IDP|IDR|PQ|SQ|RQ|MOTSP)")
_COUNT = re.compile(r"^(TP|FP|FN|IDSW|Frag|IDTP|IDFN|IDFP|n|n_th|n_st)$")


def scores(found: Scores, bounded: bool = True) -> None:
    """Numbers are finite or undefined, fractions in [0, 1] and counts not negative, but for official compatibility."""
    json.dumps(found.as_json(), allow_nan=False)
    for warning in found.warnings:
        require(warning.isprintable(), f"a warning of several lines: {warning!r:.80}")
    rows = [
        found.summary,
        found.overall,
        *found.classes.values(),
        *(row for video in found.videos.values() for row in video.values()),
    ]
    for row in rows:
        for name, value in row.items():
            if not bounded or value is None or not math.isfinite(value) or _UNBOUNDED.search(name):
                continue
            require(not _FRACTION.match(name) or -1e-9 <= value <= 1 + 1e-9, f"{name} is {value}")
            require(not _COUNT.match(name) or (value >= 0 and value == int(value)), f"{name} is {value}")
