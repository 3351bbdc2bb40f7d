"""What is fuzzed: every reader and every protocol, each with tiny valid files, a way to read them, and what must hold.

`read` returns what was read in a plain form, so that a neutral mutation can be compared with the valid files; `check`
looks at the files' bytes and at that.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fuzz_checks as checks
import numpy as np
from fuzz_annotated import ANNOTATED
from fuzz_files import (
    AMODAL_RESULTS,
    BITMASKS,
    COCO,
    COCO_RESULTS,
    COCOA,
    FIRST,
    FRACTIONS,
    INFO,
    KINS,
    KITTI,
    LABELS,
    LEVEL_RESULTS,
    MOT,
    SECOND,
    SYNTHETIC,
    VIDEOS,
    VISIBLE,
    YTVIS,
    YTVIS_RESULTS,
    Check,
    Target,
    dumped,
    jsonl,
    label_png,
    mots_text,
    panoptic,
    polygons,
    samples_files,
    scalabel,
    sequence,
    sides,
)
from fuzz_mutations import Files, zipped
from fuzz_training import TRAINING

from eval.evaluation import evaluate
from eval.masks import MaskTable, compare_masks
from eval.protocols.bdd100k_rules import VOCABULARY
from eval.protocols.mots_sequences import compare_tables
from eval.readers.amodal_formats import amodal_dataset
from eval.readers.amodal_results import read_amodal_results
from eval.readers.bdd_bitmask import find_bitmasks, read_bitmasks
from eval.readers.coco import read_coco, read_coco_results
from eval.readers.coco_index import index_coco, index_coco_results
from eval.readers.kitti_labels import find_occlusion_files
from eval.readers.mot import read_mot
from eval.readers.mots_files import find_mots_files, read_seqmap
from eval.readers.panoptic import read_panoptic
from eval.readers.record import load_object
from eval.readers.scalabel import ScalabelLabels
from eval.readers.scalabel_masks import read_masks
from eval.readers.ytvis import read_ytvis, read_ytvis_results
from eval.rle import areas
from eval.runs import decode_runs
from eval.sequences import TrackingSequence
from vos_occ.datasets.coco import CocoFrames
from vos_occ.datasets.ytvis import YtvisFrames
from vos_occ.results.jsonl_reader import read_jsonl

# Reading ----------------------------------------------------------------------------------------------------------


_PLACES = ("path", "file", "records", "where")  # what tells where something stands, not what it is


def _plain(value: Any) -> Any:
    """Arrays, dataclasses and the like as something that compares."""
    if isinstance(value, np.ndarray):
        return str(value.dtype.kind), repr(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__ if name not in _PLACES}
    return value if isinstance(value, int | str | bool | None) else repr(value)  # of floats too: NaN is NaN


def _table(table: MaskTable) -> MaskTable:
    """Decode and compare a table, as every protocol does."""
    compare_masks(table, table)
    return table


def _read_panoptic(folder: Path) -> Any:
    truth, found = read_panoptic(folder / "gt.json"), read_panoptic(folder / "pred.json", results=True)
    return [
        [truth.truth(image) for image in truth.images],
        [found.predicted(image, truth.categories) for image in found.images],
    ]


def _read_mots(path: Path, first: int) -> Any:
    files = find_mots_files(path)
    found = {}
    for name in files.files:
        table = files.read(name).table(first, files.length(name, first), nameless=(10,))
        sequence = compare_tables(table, table)
        for category in (1, 2):
            assert isinstance(sequence.of_class(category), TrackingSequence)
        found[name] = table
    return found


def _read_levels(path: Path) -> Any:
    files = find_occlusion_files(path)
    frames, ids = np.array([0, 0, 1]), np.array([1001, 2001, 1001])
    return {name: files.levels(name, frames, ids) for name in files.files.files}


def _read_scalabel(path: Path) -> Any:
    labels = ScalabelLabels(path)
    return {name: _table(read_masks(labels.frames(name), VOCABULARY, name)) for name in labels.videos}


def _index(folder: Path) -> Any:
    index = index_coco(folder / "gt.json")
    found = index_coco_results(folder / "pred.json", index.images)
    return [list(side.read(index.images)) for side in (index.annotations, found)]


def _samples(frames: Any) -> Any:
    return [[frames.load(v, t) for t in shown] for v, shown in enumerate(frames.frames())]


def _amodal(folder: Path) -> Any:
    dataset = amodal_dataset(load_object(folder / "gt.json"))
    return dataset, read_amodal_results(folder / "pred.json", dataset)


def _levels(folder: Path) -> Any:
    dataset = amodal_dataset(load_object(folder / "gt.json"))
    return dataset, read_amodal_results(folder / "pred.json", dataset, classes="optional", scores="unread")


def protocol(name: str, gt: str = "gt", pred: str = "pred", **options: Any) -> Callable[[Path], Any]:
    """Reads and scores."""

    def read(folder: Path) -> Any:
        paths = {
            key: folder / value
            for key, value in options.items()
            if key in ("seqmap", "by_occlusion") and value is not True
        }
        return evaluate(name, folder / gt, folder / pred, **(options | paths))

    return read


# Checking ---------------------------------------------------------------------------------------------------------


def _same_pixels(wanted: Mapping[int, int | None] | Sequence[int | None], masks: Sequence[Any]) -> None:
    """Pixels as the file's run lengths say, for masks in the same order."""
    values = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted)
    checks.require(len(values) == len(masks), f"{len(masks)} of {len(values)} records were read")
    for pixels, mask in zip(values, areas(masks).tolist(), strict=True):
        checks.require(pixels is None or pixels == mask, f"a mask of {pixels} pixels was read as one of {mask}")


def _whole_mask(mask: Any) -> None:
    if mask is not None:
        height, width = mask["size"]
        checks.pixels_of(mask["counts"], height, width)
        checks.require(decode_runs([mask["counts"]], height, width).canonical.all(), "a mask with empty runs")


def _check_coco(files: Files, found: Any) -> None:
    dataset, results = found
    _same_pixels(checks.coco_truth(files["gt.json"]), [a.segmentation for a in dataset.annotations])
    _same_pixels(checks.coco_results(files["pred.json"], files["gt.json"]), [r.mask for r in results])
    for mask in (*(a.segmentation for a in dataset.annotations), *(r.mask for r in results)):
        _whole_mask(mask)


def _check_ytvis(files: Files, found: Any) -> None:
    checks.ytvis_truth(files["gt.json"])
    checks.ytvis_results(files["pred.json"], files["gt.json"])
    dataset, tubes = found
    for masks in (*(track.segmentations for track in dataset.tracks), *(tube.masks for tube in tubes)):
        for mask in masks:
            _whole_mask(mask)


def _check_index(files: Files, found: Any) -> None:
    for records in found:
        checks.require(all(isinstance(record.values, dict) for record in records), "a record that is no object")
    truth = checks.tables(checks.document(files["gt.json"]), "images", "annotations")
    checks.require(len(found[0]) == len(truth[1]), "annotations are lost")
    checks.require(len(found[1]) == len(checks.document(files["pred.json"])), "results are lost")


def _check_panoptic(files: Files, found: Any) -> None:
    for name, side in zip(("gt", "pred"), found, strict=True):
        content = checks.document(files[f"{name}.json"])
        checks.distinct((repr(record["image_id"]) for record in content["annotations"]), "image")
        for record, segments in zip(content["annotations"], side, strict=True):
            path = f"{name}/{record['file_name']}"
            checks.require(path in files, f"a map outside of the folder: {path:.60}")
            height, width = checks.whole_png(files[path])
            checks.require(segments.id_map.shape == (height, width), "a map of another size")
            rows = [checks.integer(info["id"], "id of a segment", 1) for info in record["segments_info"]]
            checks.distinct(rows, "id of a segment")
            shown = set(np.unique(segments.id_map).tolist()) - {0}
            checks.require(shown == set(rows), f"the map shows {shown}, the file says {rows}")
            counted = [int((segments.id_map == i).sum()) for i in rows]
            checks.require(segments.areas.tolist() == counted, "areas that are not those of the map")
            if name == "gt":
                stated = [info["area"] for info in record["segments_info"]]
                checks.require(stated == counted, "stated areas that are not those of the map")


def _check_tables(files: Files, found: Mapping[str, MaskTable]) -> None:
    """MOTS text files in a folder or zip."""
    texts = {name: data for name, data in files.items() if name.endswith(".txt")}
    texts = {name: data for name, data in texts.items() if name.endswith("/gt/gt.txt")} or texts
    lengths = {name.split("/")[0]: data for name, data in files.items() if name.endswith("seqinfo.ini")}
    for name, table in found.items():
        source = [data for path, data in texts.items() if name in (path.split("/")[-1][:-4], path.split("/")[0])]
        checks.require(len(source) == 1, f"sequence {name} from {len(source)} files")
        rows = checks.mots_rows(source[0], nameless=(10,))
        checks.require(len(rows) == len(table), "rows are lost")
        checks.require(table.num_frames <= 10**7, f"{table.num_frames} frames")
        checks.require(not lengths.get(name) or b"[Sequence]" in lengths[name], "a seqinfo.ini without its section")


def _check_zip(files: Files, found: Mapping[str, MaskTable]) -> None:
    texts = checks.zip_texts(files["a.zip"])
    checks.require(set(texts) == set(found), f"sequences {list(texts)} were read as {list(found)}")
    for name, table in found.items():
        checks.require(len(table) == len(checks.mots_rows(texts[name], nameless=(10,))), "rows are lost")


def _check_mots_png(files: Files, found: Mapping[str, MaskTable]) -> None:
    used = {name: data for name, data in files.items() if re.fullmatch(r".*/[0-9]{1,18}\.png", name)}
    for name, table in found.items():
        own = [used[path] for path in sorted(used) if path.startswith(f"{name}/")]
        sizes = {checks.whole_png(data) for data in own}
        checks.require(len(sizes) == 1, f"pictures of sizes {sizes}")
        checks.require(
            table.num_frames in (len(own), len(own) + 1), f"{len(own)} pictures as {table.num_frames} frames"
        )
        for data in own:
            checks.require(struct.unpack(">BB", data[24:26]) == (16, 0), "a picture that is not 16-bit grey")


def _check_bitmask(files: Files, found: Mapping[str, MaskTable]) -> None:
    for name, table in found.items():
        own = {path: data for path, data in files.items() if path.startswith(f"{name}/")} if name != "." else {}
        for data in own.values():
            checks.require(checks.whole_png(data) == (table.height, table.width), "a picture of another size")
            checks.require(struct.unpack(">BB", data[24:26]) == (8, 6), "a picture that is not RGBA")


def _check_fractions(files: Files, found: Any) -> None:
    for name in found:
        checks.fractions(files[f"{name}.txt"])


def _check_seqmap(files: Files, found: Mapping[str, int | None]) -> None:
    lines = [line.split() for line in files["a.seqmap"].decode().splitlines() if line.strip()]
    checks.require(len(found) in (len(lines), len(lines) - 1), "rows are lost")
    for length in found.values():
        checks.require(length is None or 0 <= length <= 10**7, f"a length of {length}")


def _check_mot(files: Files, found: Any) -> None:
    counted = checks.mot_rows(files["a.txt"], 5)
    checks.require(len(found) == 5, "frames")
    for t, frame in enumerate(found, start=1):
        checks.require(len(frame.ids) == counted.get(t, 0), f"objects of frame {t} are lost")
        checks.require(np.isfinite(frame.boxes).all(), "a box is not finite")
        checks.require((frame.boxes[:, 2:] >= frame.boxes[:, :2]).all(), "an inverted box")


def _check_scalabel(files: Files, found: Mapping[str, MaskTable]) -> None:
    documents = [checks.document(data) for name, data in files.items() if name.endswith(".json")]
    frames = [frame for content in documents for frame in (content["frames"] if isinstance(content, dict) else content)]
    checks.require(sum(table.num_frames for table in found.values()) == len(frames), "frames are lost")
    checks.require({frame["videoName"] for frame in frames} <= set(found), "videos are lost")
    for frame in frames:
        index = frame.get("frameIndex")
        checks.require(index is None or checks.integer(index, "frameIndex", 0) >= 0, "frameIndex")
        labels = frame.get("labels")
        for label in labels if isinstance(labels, list) else [labels] if labels is not None else []:
            table = found[frame["videoName"]]
            if label.get("rle") is not None:
                checks.mask_pixels(label["rle"], table.height, table.width)
            elif label.get("poly2d") is not None:
                for polygon in label["poly2d"]:
                    for vertex in polygon["vertices"]:
                        for value in vertex:
                            checks.number(value, "a vertex", -1e6, 1e6)
    for table in found.values():
        for code in table.counts:
            checks.pixels_of(code, table.height, table.width)


def _check_amodal(files: Files, found: Any) -> None:
    content = checks.document(files["gt.json"])
    (images,) = checks.tables(content, "images")
    for image in images.values():
        checks.image_size(image)
    checks.tables(content, "annotations")
    dataset, results = found
    known = {thing.id for thing in dataset.objects}
    checks.distinct((thing.id for thing in dataset.objects), "id of an object")
    for thing in dataset.objects:
        size = list(checks.image_size(images[thing.image_id]))
        for mask in (thing.amodal, thing.visible):
            checks.require(mask["size"] == size, "a mask of another size")
            _whole_mask(mask)
        for box in (thing.amodal_box, thing.visible_box):
            checks.box(list(box))
        checks.number(thing.area, "area", 0)
        checks.require(thing.occlude_rate is None or 0 <= thing.occlude_rate <= 1, "occlude_rate")
        for other in thing.in_front_of or ():
            checks.require(other in known and other != thing.id, f"in front of {other!r:.40}")
    flat = "regions" in str(content)
    checks.coco_results(files["pred.json"], files["gt.json"], scores=False, classes=False, flat=True)
    for result in results:
        checks.require(result.image_id in images, "a result of no image")
        for mask in (result.amodal, result.visible, result.segmentation):
            _whole_mask(mask)
    checks.require(flat or len(dataset.objects) == len(content["annotations"]), "objects are lost")


def _check_jsonl(files: Files, found: Any) -> None:
    lines = files["a.jsonl"].split(b"\n")
    whole = lines[:-1] if found.torn or not lines[-1] else lines
    checks.require(len(found.frames) == len(whole) - 1, f"{len(found.frames)} frames of {len(whole)} lines")
    checks.require(not found.torn or lines[-1], "torn, but all lines are whole")
    records = [checks.document(line) for line in whole]
    header, last = records[0], -1
    checks.integer(header["width"], "width", 1)
    for record, frame in zip(records[1:], found.frames, strict=True):
        last = checks.integer(record["frame_index"], "frame_index", last + 1)
        if record["time"] is not None:
            checks.number(record["time"], "time")
        checks.distinct((thing["track_id"] for thing in record["objects"]), "track id")
        wanted = [checks.mask_pixels(thing["mask"], header["height"], header["width"]) for thing in record["objects"]]
        _same_pixels(wanted, frame.masks)
        for thing in record["objects"]:
            checks.number(thing["score"], "score", 0, 1)
            checks.integer(thing["track_id"], "track_id", 1)
            x0, y0, x1, y1 = (checks.number(value, "box") for value in thing["box"])
            checks.require(x0 <= x1 and y0 <= y1, "an inverted box")
            checks.require(thing["hidden"] is None or checks.number(thing["hidden"], "hidden", 0, 1) >= 0, "hidden")
            for other in thing["hidden_by"]:
                checks.require(other in [o["track_id"] for o in record["objects"]], "hidden by nobody")
                checks.require(other != thing["track_id"], "hidden by itself")


def _scored(of_files: Callable[[Files], None] = lambda files: None) -> Check:
    def check(files: Files, found: Any) -> None:
        checks.scores(found)
        of_files(files)

    return check


def _of_coco(files: Files) -> None:
    checks.coco_truth(files["gt.json"], order=False)
    checks.coco_results(files["pred.json"], files["gt.json"])


def _of_ytvis(files: Files) -> None:
    checks.ytvis_truth(files["gt.json"], scored=True)
    checks.ytvis_results(files["pred.json"], files["gt.json"])


def _of_mots(files: Files) -> None:
    for side, nameless in (("gt", (10,)), ("pred", ())):
        for name, data in files.items():
            if name.startswith(f"{side}/") and name.endswith(".txt") and not name.split("/")[-1].startswith("."):
                checks.mots_rows(data, nameless)


def _of_documents(files: Files) -> None:
    for name, data in files.items():
        if name in ("gt.json", "pred.json"):
            checks.document(data)


def _lenient(files: Files, found: Any) -> None:
    """What `official` lets pass is for the official evaluators to say: wrongly stated areas give PQ above 1."""
    checks.scores(found, bounded=False)


# ------------------------------------------------------------------------------------------------------------------


def _json_protocol(name: str, **options: Any) -> Callable[[Path], Any]:
    return protocol(name, "gt.json", "pred.json", **options)


_MOTS_FILES = {"gt/0000.txt": sequence(0), "gt/0001.txt": sequence(0), "pred/0000.txt": sequence(0)[:-1],
               "pred/0001.txt": mots_text([(0, 2001, 2, FIRST), (2, 2002, 2, SECOND)])}  # fmt: skip
_CHALLENGE_FILES = {
    "gt/0002/gt/gt.txt": sequence(1), "gt/0002/seqinfo.ini": INFO, "pred/0002.txt": mots_text([(1, 2001, 2, SECOND)])
}  # fmt: skip
_SEQMAP = {"a.seqmap": b"0000 empty 000000 000002\n0001 empty 000000 000003\n"}

TARGETS: Mapping[str, Target] = {
    "coco": Target(
        sides(COCO, COCO_RESULTS),
        lambda f: (dataset := read_coco(f / "gt.json"), read_coco_results(f / "pred.json", dataset)),
        _check_coco,
    ),
    "coco_index": Target(sides(COCO, COCO_RESULTS), _index, _check_index),
    "ytvis": Target(
        sides(YTVIS, YTVIS_RESULTS),
        lambda f: (dataset := read_ytvis(f / "gt.json"), read_ytvis_results(f / "pred.json", dataset)),
        _check_ytvis,
    ),
    "panoptic": Target(panoptic(False) | panoptic(True), _read_panoptic, _check_panoptic),
    "kins": Target(sides(KINS, AMODAL_RESULTS), _amodal, _check_amodal),
    "cocoa": Target(
        sides(COCOA, [{k: v for k, v in r.items() if k != "category_id"} for r in AMODAL_RESULTS]),
        _levels,
        _check_amodal,
    ),
    "visible_mask": Target(sides(VISIBLE, AMODAL_RESULTS), _amodal, _check_amodal),
    "synthetic": Target(sides(SYNTHETIC, LEVEL_RESULTS), _levels, _check_amodal),
    "mots_text": Target({"0000.txt": sequence(0), "0001.txt": sequence(0)}, lambda f: _read_mots(f, 0), _check_tables),
    "mots_challenge_files": Target(
        {"a/gt/gt.txt": sequence(1), "a/seqinfo.ini": INFO}, lambda f: _read_mots(f, 1), _check_tables
    ),
    "mots_zip": Target(
        {"a.zip": zipped([("x/0000.txt", sequence(0)), ("x/0001.txt", sequence(0))])},
        lambda f: _read_mots(f / "a.zip", 0),
        _check_zip,
    ),
    "mots_png": Target(
        {f"0000/00000{t}.png": label_png(labels) for t, labels in enumerate(LABELS)},
        lambda f: _read_mots(f, 0),
        _check_mots_png,
    ),
    "seqmap": Target(_SEQMAP, lambda f: read_seqmap(f / "a.seqmap", 0), _check_seqmap),
    "hidden_fractions": Target(
        {"0000.txt": FRACTIONS},
        lambda f: _read_levels(f),
        lambda files, found: [checks.fractions(d) for d in files.values()],
    ),
    "kitti_labels": Target({"0000.txt": KITTI}, _read_levels, lambda files, found: None),
    "mot": Target({"a.txt": MOT}, lambda f: read_mot(f / "a.txt", 5), _check_mot),
    "mot_of_any_length": Target({"a.txt": MOT}, lambda f: len(read_mot(f / "a.txt")), lambda files, found: None),
    "scalabel": Target(
        {"a.json": dumped({"frames": scalabel()}), "b.json": dumped(polygons()).replace(b'"a"', b'"c"')},
        _read_scalabel,
        _check_scalabel,
    ),
    "bdd_bitmask": Target(
        BITMASKS,
        lambda f: {name: _table(read_bitmasks(files)) for name, files in find_bitmasks(f).items()},
        _check_bitmask,
    ),
    "jsonl": Target({"a.jsonl": jsonl()}, lambda f: read_jsonl(f / "a.jsonl"), _check_jsonl),
    "coco_frames": Target(
        samples_files(COCO, ("1.png", "7.png")),
        lambda f: _samples(CocoFrames(f / "gt.json", f, keep_empty=True)),
        lambda files, found: checks.coco_truth(files["gt.json"]) and None,
    ),
    "ytvis_frames": Target(
        samples_files(YTVIS, [name for video in VIDEOS for name in video["file_names"]]),
        lambda f: _samples(YtvisFrames(f / "gt.json", f)),
        lambda files, found: checks.ytvis_truth(files["gt.json"]),
    ),
    "protocol coco": Target(sides(COCO, COCO_RESULTS), _json_protocol("coco"), _scored(_of_coco)),
    "protocol coco official": Target(sides(COCO, COCO_RESULTS), _json_protocol("coco", compat="official"), _lenient),
    "protocol coco_boundary": Target(sides(COCO, COCO_RESULTS), _json_protocol("coco_boundary"), _scored(_of_coco)),
    "protocol ytvis": Target(sides(YTVIS, YTVIS_RESULTS), _json_protocol("ytvis"), _scored(_of_ytvis)),
    "protocol ovis": Target(sides(YTVIS, YTVIS_RESULTS), _json_protocol("ovis"), _scored(_of_ytvis)),
    "protocol ovis official": Target(sides(YTVIS, YTVIS_RESULTS), _json_protocol("ovis", compat="official"), _lenient),
    "protocol ytvis zip": Target(
        {"gt.json": dumped(YTVIS), "pred.zip": zipped([("results.json", dumped(YTVIS_RESULTS))])},
        protocol("ytvis", "gt.json", "pred.zip"),
        _scored(lambda files: checks.ytvis_truth(files["gt.json"], scored=True)),
    ),
    "protocol ytvis shards": Target(
        {"gt.json": dumped(YTVIS), "pred/1.json": dumped(YTVIS_RESULTS[:2]), "pred/2.json": dumped(YTVIS_RESULTS[2:])},
        protocol("ytvis", "gt.json", "pred"),
        _scored(_of_documents),
    ),
    "protocol kins": Target(sides(KINS, AMODAL_RESULTS), _json_protocol("kins"), _scored(_of_documents)),
    "protocol cocoa": Target(sides(COCOA, AMODAL_RESULTS), _json_protocol("cocoa"), _scored(_of_documents)),
    "protocol cocoa_cls": Target(sides(VISIBLE, AMODAL_RESULTS), _json_protocol("cocoa_cls"), _scored(_of_documents)),
    "protocol d2sa vrsp": Target(
        sides(VISIBLE, AMODAL_RESULTS),
        _json_protocol("d2sa", options={"area": "vrsp", "occluded": "0.15"}),
        _scored(_of_documents),
    ),
    "protocol occlusion_levels": Target(
        sides(SYNTHETIC, LEVEL_RESULTS),
        _json_protocol("occlusion_levels", options={"min_height": "1"}),
        _scored(_of_documents),
    ),
    "protocol coco_panoptic": Target(
        panoptic(False) | panoptic(True), _json_protocol("coco_panoptic"), _scored(_of_documents)
    ),
    "protocol cityscapes_panoptic official": Target(
        panoptic(False) | panoptic(True), _json_protocol("cityscapes_panoptic", compat="official"), _lenient
    ),
    "protocol kitti_mots": Target(_MOTS_FILES, protocol("kitti_mots"), _scored(_of_mots)),
    "protocol kitti_mots seqmap": Target(_MOTS_FILES | _SEQMAP, protocol("kitti_mots", seqmap="a.seqmap"), _scored()),
    "protocol kitti_mots official": Target(_MOTS_FILES, protocol("kitti_mots", compat="official"), _lenient),
    "protocol kitti_mots by occlusion": Target(
        _MOTS_FILES | {"hidden/0000.txt": FRACTIONS, "hidden/0001.txt": FRACTIONS},
        protocol("kitti_mots", by_occlusion="hidden"),
        _scored(_of_mots),
    ),
    "protocol mots_challenge": Target(_CHALLENGE_FILES, protocol("mots_challenge"), _scored(_of_mots)),
    "protocol mots_tools": Target(_MOTS_FILES, protocol("mots_tools"), _scored(_of_mots)),
    "protocol mots_tools official": Target(_MOTS_FILES, protocol("mots_tools", compat="official"), _lenient),
    "protocol bdd100k_mots": Target(
        sides({"frames": scalabel()}, scalabel()),
        _json_protocol("bdd100k_mots", by_occlusion=True),
        _scored(_of_documents),
    ),
    "protocol bdd100k_mots official": Target(
        sides(scalabel(), scalabel()), _json_protocol("bdd100k_mots", compat="official"), _lenient
    ),
    "protocol bdd100k_mots_bitmask": Target(
        {f"{side}/{name}": data for side in ("gt", "pred") for name, data in BITMASKS.items()},
        protocol("bdd100k_mots_bitmask"),
        _scored(),
    ),
    **ANNOTATED,
    **TRAINING,
}


def plain(found: Any) -> Any:
    """What was read, in a form that compares."""
    return _plain(found)
