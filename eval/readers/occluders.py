"""Occluder masks computed beforehand: `bg_object_segmentation` of a COCO-like file.

BCNet's `process_dataset.py` puts that field into a whole annotation file, as polygons; `tools/make_occluders.py` writes
a file of only ids, images and occluders, as RLE. Both are read here. `[]` and null say that nothing hides the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval.readers.coco import read_images
from eval.readers.record import Record, by_id, load_object, table
from eval.readers.segmentation import WrittenMask, read_masks
from eval.rle import Rle

FIELD = "bg_object_segmentation"


def read_occluders(path: str | Path) -> Mapping[int, Rle | None]:
    """Occluder mask of each annotation id, None where the file says that there is none.

    Raises:
        SchemaError: There is no such file, an annotation lacks the field, or its mask does not fit its image.
    """
    document = load_object(path)
    images = by_id(read_images(document))
    written = table(document, "annotations", lambda record: record)
    masks = read_masks([_written(record, images) for record in written])
    return dict(zip((record.integer("id") for record in written), masks, strict=True))


def _written(record: Record, images: Mapping) -> WrittenMask:
    if FIELD not in record.values:
        raise record.error(
            FIELD, "is missing", "Make the file with tools/make_occluders.py, or leave occluders online."
        )
    image = images[record.known("image_id", images, "image")]
    return WrittenMask(record.values[FIELD], image.height, image.width, record, FIELD)
