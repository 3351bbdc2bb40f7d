"""SOD on disk, in parts that are written whole, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from eval.readers.coco import Annotation, CocoDataset, Image, read_coco
from vos_occ.datasets.images import read_frame
from vos_occ.datasets.sod import ObjectBank, annotations_of, compose
from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.output import require_new, whole_file, write_atomically
from vos_occ.structures.errors import InputError, OutputExistsError

PART = 50  # pictures
ANNOTATIONS, BANK, SETTINGS = "annotations.json", "cob.json", "settings.json"


@dataclass(frozen=True)
class SodSettings:
    """What decides every pixel of the result.

    Attributes:
        annotations: COCO json, `size` its bytes.
        count: pictures.
        seed: of all draws.
        overlap: smallest and largest share of the occludee that is covered.
        min_area: pixels of an object of the bank.
    """

    annotations: str
    size: int
    count: int
    seed: int
    overlap: tuple[float, float]
    min_area: float


class SodWriter:
    """Writes `images/00000000.jpg` and so on, `cob.json` (the bank), and at last `annotations.json`.

    Args:
        settings: what to make.
        image_root: folder of the images.
        out: folder to write to.

    Raises:
        SchemaError: the json is not a COCO instance file.
        InputError: there are no whole objects in it.
    """

    def __init__(self, settings: SodSettings, image_root: Path, out: Path) -> None:
        self.settings, self.image_root, self.out = settings, image_root, out
        self.dataset: CocoDataset = read_coco(settings.annotations)
        self.bank = ObjectBank.collect(self.dataset, settings.min_area)
        self._images: dict[int, Image] = {image.id: image for image in self.dataset.images}
        self._members: dict[int, list[Annotation]] = defaultdict(list)
        for annotation in self.dataset.annotations:
            self._members[annotation.image_id].append(annotation)

    @property
    def parts(self) -> int:
        return -(-self.settings.count // PART)

    def prepare(self, overwrite: bool) -> list[int]:
        """The parts that are still to be made; those of an earlier run with the same settings stay.

        Raises:
            OutputExistsError: the folder holds another dataset, or a finished one, and `overwrite` is off.
        """
        settings, path = json.loads(json.dumps(asdict(self.settings))), self.out / SETTINGS
        done = json.loads(path.read_text()) if path.is_file() else None
        if overwrite:
            for part in (self.out / "parts").glob("*.json"):
                part.unlink()
            (self.out / ANNOTATIONS).unlink(missing_ok=True)
        elif done is None:
            require_new(self.out, overwrite, folder=True)
        elif done != settings:
            changed = ", ".join(key for key in settings if done.get(key) != settings[key])
            raise OutputExistsError(f"{self.out} was made with another {changed}. Use --overwrite, or another folder.")
        require_new(self.out / ANNOTATIONS, overwrite, folder=False)
        write_atomically(path, json.dumps(settings))
        self._write_bank()
        return [part for part in range(self.parts) if not self._part_file(part).is_file()]

    def _write_bank(self) -> None:
        objects = [annotation for members in self.bank.by_class.values() for annotation in members]
        named = {annotation.image_id for annotation in objects}
        images = [asdict(image) for image in self.dataset.images if image.id in named]
        fields = ("id", "image_id", "category_id", "segmentation", "bbox", "area")
        records = [{name: getattr(thing, name) for name in fields} | {"iscrowd": 0} for thing in objects]
        write_coco_dataset(self.out / BANK, images, records, self._categories(), overwrite=True)

    def _categories(self) -> list[dict[str, Any]]:
        return [{"id": category.id, "name": category.name} for category in self.dataset.categories]

    def length(self, part: int) -> int:
        """Pictures of a part, made or not."""
        return min(PART, self.settings.count - part * PART)

    def _part_file(self, part: int) -> Path:
        return self.out / "parts" / f"{part:06d}.json"

    def write_part(self, part: int) -> None:
        """Pictures `part * PART` and on, and then the file that says that they are there.

        Raises:
            InputError: an image is missing or of another size.
        """
        numbers = range(part * PART, part * PART + self.length(part))
        records = [self._write_picture(number) for number in numbers]
        write_atomically(self._part_file(part), json.dumps([record for record in records if record is not None]))

    def _write_picture(self, number: int) -> dict[str, Any] | None:
        """Image and annotations of a picture; None where no occluder of the bank fits."""
        composition = compose(self.bank, number, self.settings.seed, self.settings.overlap)
        if composition is None:
            return None
        base, source = (self._images[thing.image_id] for thing in (composition.occludee, composition.occluder))
        pixels = [read_frame(self.image_root / image.file_name, image.height, image.width) for image in (base, source)]
        name, encoded = f"{number:08d}.jpg", composition.paint(*pixels)[..., ::-1]
        with whole_file(self.out / "images" / name) as path:
            path.write_bytes(cv2.imencode(".jpg", encoded, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
        image = {"id": number + 1, "file_name": name, "width": base.width, "height": base.height}
        annotations = annotations_of(composition, self._members[base.id], number + 1, 1)
        return {"image": image, "annotations": annotations}

    def finish(self) -> tuple[int, int]:
        """Joins the parts to `annotations.json`; answers how many pictures and objects there are."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for part in range(self.parts):
            for picture in json.loads(self._part_file(part).read_text()):
                images.append(picture["image"])
                annotations += [_moved(record, len(annotations)) for record in picture["annotations"]]
        if not images:
            raise InputError("No picture could be made: no object of the bank fits on another. Use more images.")
        write_coco_dataset(self.out / ANNOTATIONS, images, annotations, self._categories(), overwrite=True)
        return len(images), len(annotations)


def _moved(record: dict[str, Any], first: int) -> dict[str, Any]:
    """A record whose ids count from another one than 1."""
    moved = record | {"id": record["id"] + first}
    if "in_front_of" in record:
        moved["in_front_of"] = [number + first for number in record["in_front_of"]]
    return moved


_writer: SodWriter | None = None  # of a worker process: the bank of COCO is too large to send with every part


def _start_worker(settings: SodSettings, image_root: Path, out: Path) -> None:
    global _writer
    _writer = SodWriter(settings, image_root, out)


def _write_part(part: int) -> None:
    assert _writer is not None
    _writer.write_part(part)


def write_parts(writer: SodWriter, parts: list[int], workers: int) -> Iterator[int]:
    """Makes parts in some processes; yields how many pictures each has, as they are done. The result is the same."""
    if workers == 1:
        for part in parts:
            writer.write_part(part)
            yield writer.length(part)
        return
    arguments = (writer.settings, writer.image_root, writer.out)
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=arguments) as pool:
        for part, _ in zip(parts, pool.map(_write_part, parts), strict=True):
            yield writer.length(part)
