"""COCO's panoptic format, which Cityscapes shares: a JSON file and beside it a folder with one PNG per image.

A pixel's colour is the id of its segment, R + 256 G + 65536 B; the JSON says what each segment is. Ground truth and
results are written alike, but results name no categories and state no areas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from eval.errors import RequestError, SchemaError
from eval.panoptic import VOID, Segments, count_ids
from eval.readers.png import PngError, bit_depth, read_png
from eval.readers.record import Record, load_object, records, refuse_same_names, shown, table
from eval.runs import MOST_PIXELS

ImageId = int | str


@dataclass(frozen=True)
class PanopticCategory:
    """A class of segments: things can be counted, stuff cannot."""

    id: int
    name: str
    isthing: bool


@dataclass(frozen=True)
class PanopticDataset:
    """One side: the JSON file, not yet looked at closely, and where its maps are.

    Attributes:
        path: The JSON file.
        folder: Of the PNG files.
        images: The record of each image by its id (a number in COCO, a name in Cityscapes), in the order of the file.
        categories: Empty in results.
        official: Whether to let pass what panopticapi lets pass.
    """

    path: Path
    folder: Path
    images: Mapping[ImageId, Record]
    categories: tuple[PanopticCategory, ...]
    official: bool = False

    def __repr__(self) -> str:
        return f"PanopticDataset({self.path.name}: {len(self.images)} images, {len(self.categories)} categories)"

    def truth(self, image: ImageId) -> Segments:
        """An image's annotated segments.

        Raises:
            SchemaError: A record does not fit, or the PNG does not show what the JSON states. Official: the PNG may
                show other segments of other areas; those that only it shows are neither void nor to be found.
        """
        segments = self._segments(image, self.categories, stated_areas=True)
        if not self.official:
            self._check_ids(image, segments, *count_ids(segments.id_map))
        return segments

    def predicted(self, image: ImageId, categories: tuple[PanopticCategory, ...]) -> Segments:
        """An image's predicted segments; their areas are counted.

        Args:
            image: Its id.
            categories: Those of the ground truth.

        Raises:
            SchemaError: A record does not fit, or the PNG does not show the segments that the JSON states.
        """
        segments = self._segments(image, categories, stated_areas=False)
        ids, pixels = count_ids(segments.id_map)
        self._check_ids(image, segments, ids, None)
        areas = pixels[np.searchsorted(ids, segments.ids)]
        return Segments(segments.id_map, segments.ids, segments.categories, areas, segments.crowd)

    def _segments(self, image: ImageId, categories: tuple[PanopticCategory, ...], stated_areas: bool) -> Segments:
        record = self.images[image]
        known = {category.id: index for index, category in enumerate(categories)}
        rows: dict[int, tuple[int, int, bool]] = {}
        for segment in _segment_records(record):
            number = segment.integer("id")
            if not VOID <= number < 1 << 24 or (not self.official and (number in rows or number == VOID)):
                reason = "as that of another segment" if number in rows else "expected 1 to 16777215"
                raise segment.error("id", f"is {number}, {reason}", "Give every segment an id of its own.")
            category = known[segment.known("category_id", known, "category")]
            area = segment.integer("area") if stated_areas else 0
            if not 0 <= area <= MOST_PIXELS:
                raise segment.error("area", f"is {shown(area)}, expected pixels of the image", "Correct the record.")
            rows[number] = category, area, segment.flag("iscrowd")
        table = np.array(list(rows.values()), np.int64).reshape(-1, 3)
        ids = np.fromiter(rows, np.int64, len(rows))
        return Segments(self._id_map(record), ids, table[:, 0], table[:, 1], table[:, 2].astype(bool))

    def _id_map(self, record: Record) -> NDArray[np.uint32]:
        name = PurePath(record.text("file_name"))
        if name.is_absolute() or ".." in name.parts:
            raise record.error("file_name", f"is {shown(str(name))}, outside of the folder", "Name a file in it.")
        return read_id_map(self.folder / name)

    def _check_ids(self, image: ImageId, segments: Segments, ids: NDArray, pixels: NDArray | None) -> None:
        """PNG and JSON name the same segments and, where `pixels` are given, of the same areas."""
        record, name = self.images[image], f"{self.folder.name}/{self.images[image].text('file_name')}"
        only_png = np.setdiff1d(ids[ids != VOID], segments.ids)
        only_json = np.setdiff1d(segments.ids, ids)
        if len(only_png):
            raise record.error("segments_info", f"has no segment {only_png[0]}, which {name} shows", "Add it.")
        if len(only_json):
            raise record.error("segments_info", f"has segment {only_json[0]}, which {name} does not show", "Remove it.")
        if pixels is None:
            return
        counted = pixels[np.searchsorted(ids, segments.ids)]
        for i in np.flatnonzero(counted != segments.areas)[:1]:
            raise record.error(
                f"segments_info[{i}].area",
                f"is {segments.areas[i]}, but {name} shows {counted[i]} pixels of it",
                "Was the PNG resized? Use the file that was annotated.",
            )


def read_panoptic(
    path: Path, folder: Path | None = None, *, results: bool = False, official: bool = False
) -> PanopticDataset:
    """Read the JSON file of one side; its images are checked one by one, when they are asked for.

    Args:
        path: The JSON file, or a folder that holds one JSON file.
        folder: Of the PNG files; None takes the one named like the JSON file.
        results: Whether it holds predictions, which need no categories.
        official: Let pass what panopticapi lets pass: a later record of an image or of a segment replaces an earlier.

    Raises:
        RequestError: There is no JSON file or no folder.
        SchemaError: A record does not fit.
    """
    path = _json_file(path)
    folder = path.with_suffix("") if folder is None else folder
    if not folder.is_dir():
        raise RequestError(f"There is no folder '{folder}' with the PNG files of {path.name}. Put it beside the file.")
    document = load_object(path)
    if document.values.get("annotations") is None:
        raise document.error("annotations", "is missing", "Give a file in COCO's panoptic format that has them.")
    images: dict[ImageId, Record] = {}
    for record in records(document.values["annotations"], "annotations", document.file):
        image = record.values.get("image_id")
        if isinstance(image, bool) or not isinstance(image, int | str):
            raise record.error("image_id", f"is {shown(image)}, expected a number or a name", "Correct the record.")
        if image in images and not official:
            raise record.error("image_id", f"is {image}, as that of {images[image].where}", "Remove one of them.")
        images[image] = record
    categories = () if results else table(document, "categories", _category)
    refuse_same_names(document, [category.name for category in categories])
    return PanopticDataset(path, folder, images, categories, official)


def read_id_map(path: Path) -> NDArray[np.uint32]:
    """The segment id of each pixel of a PNG, (H, W).

    Raises:
        SchemaError: There is no such file, it is no PNG, damaged, or its pixels have no three 8-bit channels.
    """
    try:
        data = path.read_bytes()
        image = read_png(data)
    except FileNotFoundError:
        raise SchemaError(f"There is no file '{path}', which the JSON names. Add it or remove the record.") from None
    except PngError as error:
        raise SchemaError(f"'{path}' {error}. Export it again.") from None
    except (OSError, ValueError) as error:  # no name of a file
        raise SchemaError(f"'{path}' cannot be read: {error}. Correct the record.") from None
    if image.mode not in ("RGB", "RGBA") or bit_depth(data) != 8:
        raise SchemaError(f"'{path}' has mode {image.mode}, expected RGB of 8 bits: ids are R + 256 G + 65536 B.")
    colours = image if image.mode == "RGB" else image.convert("RGB")
    pixels = colours.tobytes("raw", "RGBX")  # four bytes a pixel, read as one number
    id_map = np.frombuffer(pixels, "<u4") & np.uint32(0xFFFFFF)
    return id_map.astype(np.uint32, copy=False).reshape(image.height, image.width)


def _segment_records(record: Record) -> Iterator[Record]:
    return records(record.values.get("segments_info"), f"{record.where}.segments_info", record.file)


def _category(record: Record) -> PanopticCategory:
    return PanopticCategory(record.integer("id"), record.text("name"), record.flag("isthing"))


def _json_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.json"))
    if len(found) != 1:
        raise RequestError(f"'{path}' holds {len(found)} JSON files, expected one. Give the JSON file itself.")
    return found[0]
