"""A few thousand broken files for every reader of results and annotations, and one of each kind of finding.

`tools/fuzz_readers.py` runs the same with as many inputs as wanted; docs/reliability.md has the counts.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from eval.errors import EvalError, SchemaError
from eval.evaluation import evaluate
from eval.protocols.bdd100k_rules import VOCABULARY
from eval.readers.archive import list_members, read_members
from eval.readers.coco import read_coco
from eval.readers.cocoa import cocoa_dataset
from eval.readers.mot import read_mot
from eval.readers.mots import parse_mots
from eval.readers.mots_files import find_mots_files, read_seqmap
from eval.readers.panoptic import read_panoptic
from eval.readers.png import PngError, read_png
from eval.readers.record import Record, load_json
from eval.readers.scalabel import ScalabelLabels
from eval.readers.scalabel_masks import read_masks
from eval.readers.segmentation import read_mask
from eval.readers.stream import stream_json
from eval.readers.ytvis import read_ytvis
from eval.runs import MaskError, decode_runs
from vos_occ.datasets.images import read_frame
from vos_occ.results.jsonl_reader import read_jsonl
from vos_occ.structures.errors import InputError, UserError

TOOLS = Path(__file__).parents[2] / "tools"
INPUTS = 40  # of each reader: some 2000 in all


def tool(name: str) -> ModuleType:
    if str(TOOLS) not in sys.path:
        sys.path.insert(0, str(TOOLS))
    return importlib.import_module(name)


TARGETS = tool("fuzz_targets").TARGETS
mutations = tool("fuzz_mutations")


@pytest.fixture(scope="module", autouse=True)
def tools_on_the_path() -> Any:
    yield
    sys.path.remove(str(TOOLS))


@pytest.mark.parametrize("reader", TARGETS)
def test_broken_files_are_refused_in_one_line(reader: str) -> None:
    fuzz = tool("fuzz_readers")
    findings, outcomes = [], []
    for number, outcome, problem in fuzz.run_batch(reader, 20_26, range(INPUTS)):
        outcomes.append(outcome)
        if problem:
            findings.append(f"input {number}: {problem}")
    assert not findings
    assert len(outcomes) == INPUTS and {"accepted", "refused"} == set(outcomes)


def test_an_input_is_made_from_its_number_alone() -> None:
    fuzz = tool("fuzz_readers")
    assert fuzz.mutation("coco", 1, 17).files == fuzz.mutation("coco", 1, 17).files
    assert fuzz.mutation("coco", 1, 17).files != fuzz.mutation("coco", 1, 18).files


# The fuzzer itself finds what there is to find --------------------------------------------------------------------


def outcome_of(read: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch) -> str | None:
    """What the fuzzer says of a reader, fed with what changes nothing or one byte."""
    fuzz, targets = tool("fuzz_readers"), tool("fuzz_targets")
    target = targets.Target(TARGETS["mot"].files, read, TARGETS["mot"].check)
    monkeypatch.setitem(targets.TARGETS, "mot", target)
    monkeypatch.setattr(fuzz, "HANGS_AFTER", 3.0)
    monkeypatch.setattr(fuzz, "valid_reading", lambda reader: None)
    return next(problem for _, _, problem in fuzz.run_batch("mot", 0, range(1)))


def refuse_in_two_lines(folder: Path) -> None:
    error = UserError("a")
    error.args = ("one\ntwo",)
    raise error


def die(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(folder: Path) -> None:
    time.sleep(60)


def eat(folder: Path) -> bytearray:
    return bytearray(3 << 30)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda folder: 1 / 0, "ZeroDivisionError"),
        (refuse_in_two_lines, "a message of several lines"),
        (die, "the process died with exit code -9"),
        (hang, "no answer after 3 s"),
        (eat, "MemoryError"),
        (lambda folder: [], "accepted the impossible|the check failed"),
    ],
    ids=["crash", "two lines", "killed", "hang", "memory", "accepts all"],
)
def test_the_fuzzer_notices(read: Callable[[Path], Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(said, outcome_of(read, monkeypatch) or "")


# One of each kind -------------------------------------------------------------------------------------------------

MOST = 2**31 - 1
PIXELS = 6 * 8


@pytest.mark.parametrize(
    ("situation", "runs"),
    [
        ("runs that fill the image only where 32 bits overflow", [MOST, MOST, PIXELS + 2]),
        ("a run of more than 32 bits that looks right without them", [0, 2**32 + PIXELS]),
        ("a difference of more than 32 bits", [1, 2, 3, 2**32 + 2, PIXELS - 8]),
    ],
)
def test_runs_beyond_32_bits_are_no_mask(situation: str, runs: list[int]) -> None:
    with pytest.raises(MaskError):
        decode_runs([mutations.code_of(runs)], 6, 8)


def test_the_largest_number_of_32_bits_is_one() -> None:
    assert decode_runs([mutations.code_of([MOST])], 1, MOST).areas.tolist() == [0]


def test_a_mask_has_no_more_pixels_than_positions_have_bits() -> None:
    with pytest.raises(MaskError, match="more than 2147483647 pixels"):
        decode_runs([mutations.code_of([MOST, MOST, MOST])], 3, MOST)


RECORD = Record({"id": 1}, "annotations[0]", "gt.json")


@pytest.mark.parametrize(
    ("situation", "value"),
    [
        ("outlines of a million pixels", [[0, 0, 10**6, 0, 10**6, 10**6]]),
        ("coordinates that pycocotools has no room for", [[0, 0, 10**9, 0, 10**9, 10**9]]),
        ("a number that no float holds", [[0, 0, 10**400, 0, 4, 4]]),
        ("two lists that fit in turns", [[0, 0, 100, 100] * 60]),
        ("a list whose pixels are those of another image", {"size": [6, 8], "counts": [10**400, 1]}),
    ],
)
def test_masks_that_would_exhaust_memory_are_refused(situation: str, value: Any) -> None:
    with pytest.raises(SchemaError, match=r"annotations\[0\].segmentation"):
        read_mask(value, 6, 8, RECORD, "segmentation")


def test_a_polygon_may_reach_out_of_its_image() -> None:
    assert read_mask([[-3, -3, 20, -3, 20, 20, -3, 20]], 6, 8, RECORD, "segmentation") is not None


@pytest.mark.parametrize(
    ("situation", "text", "message"),
    [
        ("nested", "[" * 100_000, "too deeply"),
        ("nested in a member", '{"images": ' + '{"a":' * 100_000, "too deeply"),
    ],
)
def test_json_that_is_nested_without_end(situation: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SchemaError, match=message):
        load_json(path)
    with pytest.raises(SchemaError, match=message):
        list(stream_json(path))


def test_a_member_that_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": {}, "images": [1]}')
    with pytest.raises(SchemaError, match='the member "images" is there twice'):
        list(stream_json(tmp_path / "a.json"))


def test_messages_that_quote_a_file_stay_in_one_line() -> None:
    for error in (
        SchemaError("no class 'a\nb\u2028\x1b[31m\ud800'"),
        InputError("no class 'a\nb\u2028\x1b[31m\ud800'"),
    ):
        assert str(error) == r"no class 'a\nb\u2028\x1b[31m\ud800'"
    assert len(str(SchemaError("x" * 10**6))) <= 1000


def coco(**fields: Any) -> dict[str, Any]:
    files = {name: json.loads(data) for name, data in TARGETS["coco"].files.items()}
    files["gt.json"]["annotations"][0] |= fields
    return files["gt.json"]


@pytest.mark.parametrize(
    ("situation", "fields", "message"),
    [
        ("no float holds it", {"area": 10**400}, "expected a finite number"),
        ("negative", {"area": -1}, "expected 0 or more"),
        ("in front of nothing", {"in_front_of": [77]}, "names 77, which is no other object"),
        ("in front of itself", {"in_front_of": [1]}, "names 1, which is no other object"),
        ("in front of what is elsewhere", {"in_front_of": [3]}, "names 3, which is no other object"),
    ],
)
def test_annotations_that_cannot_be(situation: str, fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(coco(**fields)))
    with pytest.raises(SchemaError, match=message):
        read_coco(tmp_path / "gt.json")


@pytest.mark.parametrize("behind", [1, 3, 77], ids=["itself", "of another video", "nothing"])
def test_tracks_in_front_of_what_cannot_be(behind: int, tmp_path: Path) -> None:
    document = json.loads(TARGETS["ytvis"].files["gt.json"])
    document["annotations"][0]["in_front_of"] = [[2], None, [behind]]
    (tmp_path / "gt.json").write_text(json.dumps(document))
    with pytest.raises(SchemaError, match=rf"annotations\[0\].in_front_of\[2\] names {behind}, which is no other"):
        read_ytvis(tmp_path / "gt.json")


@pytest.mark.parametrize("protocol", ["ytvis", "ovis"])
def test_a_picture_of_one_row_needs_no_table_of_its_columns(protocol: str, tmp_path: Path) -> None:
    """100 million columns of 8 bytes for each of three tracks would be 2.4 GB."""
    width = 100_000_000
    mask = {"size": [1, width], "counts": mutations.code_of([5, width - 5])}
    for name, data in TARGETS["ytvis"].files.items():
        document = json.loads(data)
        for record in document["annotations"] if name == "gt.json" else document:
            record["segmentations"] = [mask for _ in record["segmentations"]]
        if name == "gt.json":
            document["videos"] = [video | {"width": width, "height": 1} for video in document["videos"]]
        (tmp_path / name).write_text(json.dumps(document))
    tracemalloc.start()
    scores = evaluate(protocol, tmp_path / "gt.json", tmp_path / "pred.json")
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scores.summary["AP"] == 1 and highest < 100 << 20


@pytest.mark.parametrize("area", [-1, 10**400, float("nan")])
def test_areas_of_tracks_that_cannot_be(area: float, tmp_path: Path) -> None:
    for name, data in TARGETS["ytvis"].files.items():
        (tmp_path / name).write_bytes(data.replace(b'"areas": [9,', f'"areas": [{json.dumps(area)},'.encode()))
    with pytest.raises(SchemaError, match=r"annotations\[0\].areas\[0\] is"):
        evaluate("ytvis", tmp_path / "gt.json", tmp_path / "pred.json")


@pytest.mark.parametrize(
    ("situation", "change", "message"),
    [
        ("images", {"images": [{"id": 1, "width": 10**9, "height": 10**9}]}, "expected at most 100000000"),
        ("names", {"categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "a"}]}, "as that of categories"),
    ],
)
def test_files_that_cannot_be(situation: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(coco() | change))
    (tmp_path / "pred.json").write_bytes(TARGETS["coco"].files["pred.json"])
    with pytest.raises(SchemaError, match=message):
        evaluate("coco", tmp_path / "gt.json", tmp_path / "pred.json")


@pytest.mark.parametrize("constraint", ["²-1", "1-" + "9" * 5000, "1-1", "0-1"])
def test_depth_constraints_that_name_no_two_regions(constraint: str) -> None:
    document = json.loads(TARGETS["cocoa"].files["gt.json"])
    document["annotations"][0]["depth_constraint"] = constraint
    with pytest.raises(SchemaError, match="expected front-back"):
        cocoa_dataset(Record(document, "", "gt.json"))


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00.png", "\ud800.png", ".", "/"])
def test_names_that_no_image_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        read_frame(tmp_path / name, 6, 8)


def test_ids_fit_64_bits(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(coco(id=2**63)))
    with pytest.raises(SchemaError, match="more than 64 bits hold"):
        read_coco(tmp_path / "gt.json")


# Text -------------------------------------------------------------------------------------------------------------


def test_videos_have_no_billion_frames(tmp_path: Path) -> None:
    line = f"{10**9} 1 1 6 8 {mutations.code_of([PIXELS])}\n".encode()
    with pytest.raises(SchemaError, match="expected at most 1000000"):
        parse_mots(line, "a.txt").table()
    (tmp_path / "a.txt").write_text(f"{10**9},1,1,1,1,1\n")
    with pytest.raises(SchemaError, match=r"outside 1\.\.1000000"):
        read_mot(tmp_path / "a.txt")
    for last in (10**17, "9" * 5000, "²"):
        (tmp_path / "a.seqmap").write_text(f"0001 empty 000000 {last}\n")
        with pytest.raises(SchemaError, match="line 1: expected"):
            read_seqmap(tmp_path / "a.seqmap", 0)
    folder = tmp_path / "gt" / "a"
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_bytes(b"")
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nseqLength={10**9}\n")
    with pytest.raises(SchemaError, match="states no seqLength"):
        find_mots_files(tmp_path / "gt").length("a", 1)


@pytest.mark.parametrize(
    ("situation", "text", "message"),
    [
        ("cut off between numbers", "1,1,1,1,1,1,1,-1,-1,-1\n2,1,1,1,1,1,1", "It was cut off"),
        ("confidence", "1,1,1,1,1,1,nan\n", "expected frame, id"),
        ("inverted", "1,1,1,1,-5,1\n", "has width -5"),
        ("sums to infinity", "1,1,1e308,1,1e308,1\n", "expected 0 or more"),
        ("an id that a number cannot tell from the next", "1,9007199254740993,1,1,1,1\n", "keeps apart"),
    ],
)
def test_mot_lines_that_cannot_be(situation: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_mot(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("situation", "text", "message"),
    [
        ("a name that is no JSON", rb'[{"videoName": "\q", "frameIndex": 0}]', "is not valid JSON"),
        ("a field in disguise", rb'[{"videoName": "a"}, {"video\u004eame": "b"}]', "in an unusual way"),
        (
            "a mask of no size",
            b'[{"videoName": "a", "labels": [{"id": 1, "category": "car", "rle": {"counts": "1"}}]}]',
            "rle is",
        ),
        ("before the first", b'[{"videoName": "a", "frameIndex": -1}]', "expected 0 or more"),
    ],
)
def test_scalabel_frames_that_cannot_be(situation: str, text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(SchemaError, match=message):
        read_masks(ScalabelLabels(tmp_path / "a.json").frames("a"), VOCABULARY, "a")


def test_a_line_of_results_that_is_nested_without_end(tmp_path: Path) -> None:
    lines = TARGETS["jsonl"].files["a.jsonl"].splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(lines[0] + b'{"type": ' + b"[" * 100_000 + b"\n" + lines[1])
    with pytest.raises(UserError, match="line 2: lists or objects are nested too deeply"):
        read_jsonl(tmp_path / "a.jsonl")


def test_frames_of_results_have_a_size_that_masks_can_have(tmp_path: Path) -> None:
    header = json.loads(TARGETS["jsonl"].files["a.jsonl"].splitlines()[0])
    (tmp_path / "a.jsonl").write_text(json.dumps(header | {"width": 10**9, "height": 10**9}) + "\n")
    with pytest.raises(UserError, match="at most 100000000 pixels"):
        read_jsonl(tmp_path / "a.jsonl")


# Pictures and zips ------------------------------------------------------------------------------------------------

PICTURE = TARGETS["mots_png"].files["0000/000000.png"]


def resized(width: int, height: int) -> bytes:
    """The same pixels under another header, with the right check sum."""
    header = struct.pack(">II", width, height) + PICTURE[24:29]
    return PICTURE[:8] + mutations.chunk(b"IHDR", header) + PICTURE[33:]


@pytest.mark.parametrize(
    ("situation", "data", "message"),
    [
        ("cut off in the pixels", PICTURE[:60], "cut off"),
        ("cut off before its end", PICTURE[:-12], "cut off"),
        ("a bit of a pixel", PICTURE[:45] + bytes([PICTURE[45] ^ 1]) + PICTURE[46:], "damaged"),
        ("more rows than there are", resized(8, 9), "fewer pixels than it says"),
        ("no picture is so large", resized(10**5, 10**5), "says that it has 100000 x 100000 pixels"),
        ("no pixel", resized(0, 6), "says that it has 0 x 6 pixels"),
        ("another format", b"P5 8 6 65535\n" + bytes(96), "PNG format"),
        ("chunks that Pillow trips over", PICTURE[:33] + mutations.chunk(b"fdAT", b"") + PICTURE[33:], "be decoded"),
    ],
)
def test_pictures_that_are_not_whole(situation: str, data: bytes, message: str) -> None:
    with pytest.raises(PngError, match=message):
        read_png(data)


def test_a_picture_with_an_empty_last_row_is_whole() -> None:
    rows = bytes(1 + 16) * 6
    assert not np.asarray(read_png(mutations.png(8, 6, 16, 0, rows))).any()
    with pytest.raises(PngError):
        read_png(mutations.png(8, 6, 16, 0, rows[:-1]))


@pytest.mark.parametrize("name", ["../pred/1.png", "/dev/zero", "\ud800.png", "a\x00.png", "x" * 300 + ".png"])
def test_maps_that_are_no_files_of_the_folder(name: str, tmp_path: Path) -> None:
    for path, data in TARGETS["panoptic"].files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    document = json.loads((tmp_path / "gt.json").read_bytes())
    document["annotations"][0]["file_name"] = name
    (tmp_path / "gt.json").write_text(json.dumps(document))
    with pytest.raises(SchemaError):
        read_panoptic(tmp_path / "gt.json").truth(1)


@pytest.mark.parametrize(
    ("situation", "members", "message"),
    [
        ("twice", [("0001.txt", b""), ("0001.txt", b"x")], "twice"),
        ("above", [("../0001.txt", b"")], "outside of it"),
        ("absolute", [("/0001.txt", b"")], "outside of it"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_a_zip_must_not_have(situation: str, members: list, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(mutations.zipped(members))
    with pytest.raises(SchemaError, match=message):
        list_members(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (zipfile.ZIP_DEFLATED, "no file of results"),
        (zipfile.ZIP_BZIP2, "by method 12"),
        (zipfile.ZIP_LZMA, "by method 14"),
    ],
)
def test_a_zip_of_zeros_is_not_unpacked(method: int, message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("0001.txt", bytes(16 << 20))
    with pytest.raises(SchemaError, match=message):
        read_members(tmp_path / "a.zip", ["0001.txt"])


def test_damaged_zips_are_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    whole = mutations.zipped([("0001.txt", b"0 1 1 6 8 `1\n" * 20)])
    path = tmp_path / "a.zip"
    for at in range(0, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            files = find_mots_files(path)
            for name in files.files:
                files.read(name)
        except EvalError as error:
            assert str(error).isprintable()


def test_two_results_in_one_zip(tmp_path: Path) -> None:
    files = TARGETS["ytvis"].files
    (tmp_path / "gt.json").write_bytes(files["gt.json"])
    (tmp_path / "a.zip").write_bytes(
        mutations.zipped([("a/results.json", files["pred.json"]), ("b/results.json", b"[]")])
    )
    with pytest.raises(SchemaError, match="Remove one of them"):
        evaluate("ytvis", tmp_path / "gt.json", tmp_path / "a.zip")


def test_check_sums_of_the_seeds() -> None:
    """The pictures that are broken here are whole before."""
    assert read_png(PICTURE).size == (8, 6)
    assert zlib.crc32(PICTURE[12:29]) == int.from_bytes(PICTURE[29:33], "big")
