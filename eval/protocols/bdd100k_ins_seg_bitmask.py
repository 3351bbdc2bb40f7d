"""BDD100K instance segmentation from bitmask PNGs, with a JSON file that has the score of each predicted instance.

Equals bdd100k 1.0.1's own evaluator of bitmasks, which matches in another way than COCO (`bitmask_ap`). The scores are
named by option `scores`, or lie beside the folder of pictures in a file that is named like it. An instance that others
cover up has a score and no pixel; it does not count.

Pictures are matched by name, whatever their folders. `official` reproduces what bdd100k does with input that is wrong:
pictures that nobody asked for and instances without a score are left out, and the last of one name counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.bitmask_ap import match_bitmask
from eval.errors import RequestError, SchemaError
from eval.protocols.bdd100k_images import ImageOverlaps, ImagesJob, InsSegRules, by_name, check_names
from eval.protocols.bdd100k_rules import CLASSES
from eval.protocols.coco import NAMES
from eval.protocols.protocol import Column, Protocol, Request
from eval.readers.bdd_bitmask import CROWD, IGNORED, Instances, compare_codes, find_bitmasks, read_codes, read_instances
from eval.readers.record import Record
from eval.readers.scalabel_images import ImageLabels, find_image_labels, read_labels
from eval.sequences import Ints

_RULES = InsSegRules(
    "bdd100k_ins_seg_bitmask", "bdd100k 1.0.1 + pycocotools 2.0.11", match_bitmask, empty_is_zero=False
)
_MOST = 100  # true objects of an image that bdd100k's evaluator has room for

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BitmaskImage:
    """The files of one image.

    Attributes:
        name: Of the picture.
        gt: The true picture.
        pred: The predicted picture and its scores; None where either is missing.
    """

    name: str
    gt: Path
    pred: tuple[Path, ImageLabels] | None


def compare_pictures(image: BitmaskImage, official: bool) -> ImageOverlaps:
    """Compare the instances of an image; the attributes of predicted ones mean nothing.

    Raises:
        SchemaError: A file is no bitmask, an instance has two scores or, unless official, none or no class; or, if
            official, where bdd100k ends with an error.
    """
    rows, scores, unseen = np.zeros(0, np.int64), np.zeros(0), False
    if image.pred is None:
        truth, found = read_instances(image.gt), Instances.none()
        shared = np.zeros((len(truth), 0), np.int64)
    else:
        picture, labels = image.pred
        truth, found, shared = compare_codes(image.gt, picture)
        rows, scores, unseen = _scored(found, picture, labels.read(), official)
    areas = found.areas[rows]
    if official:
        _stop_where_bdd100k_does(image, truth, areas)
    else:
        _refuse_unknown(image.gt, truth.categories[~truth.ignored])
        if image.pred is not None:
            _refuse_unknown(image.pred[0], found.categories[rows])
    shared = shared[:, rows].T
    note = "there are scores of instances that the picture does not show, which do not count"
    return ImageOverlaps(
        name=image.name,
        categories=truth.categories - 1,
        areas=truth.areas,
        crowd=truth.attributes & CROWD > 0,
        ignored=truth.attributes & IGNORED > 0,
        found_categories=found.categories[rows] - 1,
        found_areas=areas,
        scores=scores,
        ious=shared / (areas[:, None] + truth.areas - shared),
        notes=(note,) if unseen else (),
    )


def _scored(found: Instances, picture: Path, scores: Record, official: bool) -> tuple[Ints, Floats, bool]:
    """Rows of the instances that have scores, in the order of these, the scores, and whether others have scores too."""
    said: dict[int, float] = {}
    for label in read_labels(scores):
        index = label.positive("index")
        if index in said:
            raise label.error("index", f"is {index}, which has a score already", "Give each instance one score.")
        said[index] = label.number("score")
    row = {number: k for k, number in enumerate(found.ids.tolist())}
    silent = [number for number in row if number not in said]
    if silent and not official:
        problem = f"have no score of instance {silent[0]}, which {picture} shows"
        raise scores.error("labels", problem, "Give every instance a score.")
    seen = [index for index in said if index in row]
    rows = np.array([row[index] for index in seen], np.int64)
    return rows, np.array([said[index] for index in seen], np.float64), len(seen) < len(said)


def _refuse_unknown(picture: Path, categories: Ints) -> None:
    unknown = categories[(categories < 1) | (categories > len(CLASSES))]
    if len(unknown):
        raise SchemaError(f"{picture} has category {unknown[0]}, expected 1..{len(CLASSES)}. Export it again.")


def _stop_where_bdd100k_does(image: BitmaskImage, truth: Instances, found_areas: Ints) -> None:
    if len(truth) > _MOST:
        raise SchemaError(f"{image.gt} has {len(truth)} objects; bdd100k's evaluator fails beyond {_MOST}.")
    sides = [(image.gt, truth.areas)] + ([] if image.pred is None else [(image.pred[0], found_areas)])
    for path, areas in sides:
        if areas.sum() == read_codes(path).size:
            raise SchemaError(f"{path} has no background, without which bdd100k's evaluator fails. Leave compat out.")


def _open(request: Request) -> ImagesJob[BitmaskImage]:
    gt, pred = (_pictures(root, request.official) for root in (request.gt, request.pred))
    file = _score_file(request)
    entries = ((image.name.replace(".jpg", ".png"), image) for image in find_image_labels(file))
    scores = by_name(entries, file, request.official)
    warnings = check_names(gt, pred, request.pred, request, fills=False)
    warnings += check_names(gt, scores, file, request, fills=False)
    answers = {name: (path, scores[name]) for name, path in pred.items() if name in scores}
    images = [BitmaskImage(name, path, answers.get(name)) for name, path in gt.items()]
    return ImagesJob(_RULES.asked(request, warnings), compare_pictures, images)


def _score_file(request: Request) -> Path:
    beside = request.pred.resolve()
    file = Path(request.options.get("scores", beside.with_name(f"{beside.name}.json")))
    if not file.is_file():
        raise RequestError(f"There are no scores '{file}'. Name their JSON file by --option scores=PATH.")
    return file


def _pictures(root: Path, official: bool) -> dict[str, Path]:
    """PNG files by their own name, in the order of their paths as text, which breaks ties of scores."""
    paths = [path for video in find_bitmasks(root).values() for path in video.values()]
    paths.sort(key=lambda path: path.relative_to(root).as_posix())
    return by_name(((path.name, path) for path in paths), root, official)


BDD100K_INS_SEG_BITMASK = Protocol(
    name=_RULES.name,
    version=_RULES.version,
    open=_open,
    columns=tuple(map(Column, NAMES)),
    official=True,
    options={"scores": "JSON file with the scores of the predicted instances (default: the folder's name + .json)"},
)
