"""Submissions: what servers take is accepted, every defect is told, and the zip is the same whenever it is made."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.ytvis_split import read_split
from vos_occ.results.submission import BENCHMARKS, check_submission, pack_submission
from vos_occ.results.submission_report import SHOWN, SubmissionReport
from vos_occ.structures.errors import InputError, OutputExistsError
from vos_occ.structures.rle import encode
from vos_occ.training import read_config

CONFIGS = Path(__file__).parents[2] / "configs/masktrack"
OVIS = BENCHMARKS["ovis"]
HEIGHT, WIDTH = 6, 8
LENGTHS = {1: 3, 4: 2}  # frames of each video


def mask(height: int = HEIGHT, width: int = WIDTH, first: int = 2) -> dict[str, Any]:
    pixels = np.zeros((height, width), bool)
    pixels[1:4, first:5] = True
    return dict(encode(pixels))


def split_file(folder: Path) -> Path:
    """Two videos and two categories, without annotations, as the benchmarks publish a test split."""
    videos = [{"id": i, "height": HEIGHT, "width": WIDTH, "length": n} for i, n in LENGTHS.items()]
    categories = [{"id": 1, "name": "Person"}, {"id": 25, "name": "Vehical"}]
    path = folder / "annotations_test.json"
    path.write_text(json.dumps({"videos": videos, "categories": categories, "annotations": None}))
    return path


def tracks() -> list[dict[str, Any]]:
    return [
        {"video_id": 1, "category_id": 25, "score": 1.0, "segmentations": [mask(), None, mask(first=3)]},
        {"video_id": 1, "category_id": 1, "score": 0.25, "segmentations": [None, mask(), None]},
        {"video_id": 4, "category_id": 1, "score": 0, "segmentations": [mask(), mask()], "more": "is tolerated"},
    ]


def write(folder: Path, content: Any) -> Path:
    path = folder / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def check(folder: Path, content: Any, **options: Any) -> SubmissionReport:
    return check_submission(OVIS, write(folder, content), split_file(folder), **options)


def test_the_original_is_accepted_as_json_as_folder_and_as_zip(tmp_path: Path) -> None:
    split, path = split_file(tmp_path), write(tmp_path, tracks())
    with zipfile.ZipFile(tmp_path / "sent.zip", "w") as archive:
        archive.write(path, "results.json")
    for form in (path, tmp_path, tmp_path / "sent.zip"):
        report = check_submission(OVIS, form, split)
        assert report.accepted and not list(report.lines())
        assert report.contents == {"tracks": 3, "masks": 5}


def test_a_split_of_another_size_is_a_warning(tmp_path: Path) -> None:
    (warning,) = check(tmp_path, tracks()).warnings
    assert warning.startswith("annotations_test.json has 2 categories and 2 videos; OVIS has 25 categories, 607 videos")


@pytest.mark.parametrize(("year", "is_its_own"), [("2019", False), ("2021", True)])
def test_a_split_with_the_categories_of_another_year_is_a_warning(tmp_path: Path, year: str, is_its_own: bool) -> None:
    classes = read_config(CONFIGS / f"data_ytvis{year}.py").classes
    split = json.loads(split_file(tmp_path).read_text())
    split["categories"] = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    (tmp_path / "2022.json").write_text(json.dumps(split))
    report = check_submission(BENCHMARKS["ytvis22"], write(tmp_path, tracks()), tmp_path / "2022.json")
    expected = [] if is_its_own else ["2022.json has no category 'flying_disc', as YouTube-VIS 2022 has. Is it the"]
    assert [warning[:75] for warning in report.warnings] == [line[:75] for line in expected]


@pytest.mark.parametrize("name", ["ytvis19", "ytvis21", "ytvis22", "ovis"])
def test_the_category_that_tells_a_benchmark_is_among_its_own(name: str) -> None:
    extent = BENCHMARKS[name].check.keywords["extent"]
    own = {"ytvis19": "ytvis2019", "ytvis21": "ytvis2021", "ytvis22": "ytvis2022", "ovis": "ovis"}
    having = {data for data in own.values() if extent.category in read_config(CONFIGS / f"data_{data}.py").classes}
    assert own[name] in having and having <= {own[name], "ytvis2021", "ytvis2022"}
    assert len(read_config(CONFIGS / f"data_{own[name]}.py").classes) == extent.categories


def test_a_byte_order_mark_is_a_defect(tmp_path: Path) -> None:
    write(tmp_path, tracks())
    path = tmp_path / "results.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    report = check_submission(OVIS, path, split_file(tmp_path))
    assert not report.accepted
    assert "results.json begins with a byte order mark" in "\n".join(report.lines())


Spoil = Callable[[list[dict[str, Any]]], Any]


def change(index: int, **fields: Any) -> Spoil:
    def spoil(content: list[dict[str, Any]]) -> None:
        content[index].update(fields)

    return spoil


def without(index: int, name: str) -> Spoil:
    def spoil(content: list[dict[str, Any]]) -> None:
        del content[index][name]

    return spoil


def replaced_mask(value: Any) -> Spoil:
    def spoil(content: list[dict[str, Any]]) -> None:
        content[0]["segmentations"][2] = value

    return spoil


POLYGON = [[1.0, 1.0, 5.0, 1.0, 5.0, 4.0]]
DEFECTS: dict[str, tuple[Spoil, str, str]] = {
    "too short": (
        change(0, segmentations=[mask(), None]),
        "wrong length",
        "[0].segmentations has 2 entries, but video 1 has 3",
    ),
    "too long": (change(2, segmentations=[mask()] * 3), "wrong length", "has 3 entries, but video 4 has 2 frames"),
    "no masks": (without(0, "segmentations"), "wrong length", "[0].segmentations is missing"),
    "no list of masks": (change(0, segmentations={}), "wrong length", "expected a list with one entry per frame"),
    "unknown video": (
        change(1, video_id=2),
        "unknown video",
        "[1].video_id is 2, which annotations_test.json does not",
    ),
    "text as an id": (change(1, video_id="1"), "unknown video", '[1].video_id is "1", expected an integer'),
    "unknown category": (change(1, category_id=2), "unknown category", "[1].category_id is 2, which"),
    "label instead of category": (change(1, category_id=0), "unknown category", "not labels from 0"),
    "score above 1": (change(0, score=1.01), "wrong score", "[0].score is 1.01, expected a number in [0, 1]"),
    "score nan": (change(0, score=float("nan")), "wrong score", "[0].score is NaN, expected a finite number"),
    "score as text": (change(0, score="0.5"), "wrong score", "expected a finite number"),
    "no score": (without(0, "score"), "wrong score", "[0].score is missing"),
    "wrong mask size": (
        replaced_mask(mask(WIDTH, HEIGHT)),
        "wrong mask",
        "[0].segmentations[2] has size [8, 6], but its image has [height, width] [6, 8]",
    ),
    "polygons": (replaced_mask(POLYGON), "wrong mask", "expected null or {size, counts} with counts as a string"),
    "counts as a list": (replaced_mask({"size": [6, 8], "counts": [48]}), "wrong mask", "counts as a string"),
    "an empty list for no mask": (replaced_mask([]), "wrong mask", "[0].segmentations[2] is [], expected null"),
    "broken code": (replaced_mask({"size": [6, 8], "counts": "0"}), "wrong mask", "covers 0 pixels, but the image has"),
    "repeated": (lambda content: content.append(deepcopy(content[1])), "repeated", "[3] is [1] again"),
    "missing video": (lambda content: content.pop(), "missing video", "no track of video 4 of annotations_test.json"),
    "no object": (lambda content: content.append(7), "no track", "[3] is 7, expected an object"),
}


@pytest.mark.parametrize("situation", DEFECTS)
def test_each_defect_is_told_and_no_other(situation: str, tmp_path: Path) -> None:
    spoil, kind, message = DEFECTS[situation]
    content = tracks()
    spoil(content)
    report = check(tmp_path, content)
    assert report.defects == {kind: 1} and not report.accepted
    (line,) = report.lines()
    assert line.startswith(f"{kind}: ") and message in line and "results.json" in line


def test_all_defects_are_told_at_once_and_counted_beyond_the_first(tmp_path: Path) -> None:
    content = tracks()
    content[0]["score"], content[1]["category_id"] = -1, 3
    content += [{**track, "score": 0.5, "segmentations": [mask(9, 9)] * 3} for track in [content[0]] * 5]
    report = check(tmp_path, content)
    assert report.defects == {"wrong score": 1, "unknown category": 1, "wrong mask": 15}
    lines = list(report.lines())
    assert len(lines) == 2 + SHOWN + 1 and lines[-1] == "wrong mask: and 5 more."


def test_missing_videos_can_be_allowed_but_not_all_of_them(tmp_path: Path) -> None:
    report = check(tmp_path, tracks()[:2], allow_missing=True)
    assert report.accepted and "no track of 1 of 2 videos (4)" in report.warnings[-1]
    assert check(tmp_path, [], allow_missing=True).defects == {"empty": 1}


def test_json_that_breaks_off_is_told_after_what_came_before(tmp_path: Path) -> None:
    content = tracks()
    content[0]["score"] = 7
    report = check(tmp_path, json.dumps(content)[:-60])
    assert report.defects == {"wrong score": 1, "unreadable": 1}, "the videos behind the break are not missing"
    assert check(tmp_path, {"annotations": tracks()}).defects == {"no list": 1}


def test_empty_runs_inside_a_mask_are_a_warning(tmp_path: Path) -> None:
    """pycocotools scores such a mask as if it overlapped nothing; the server takes it."""
    content = tracks()
    spoiled = {"size": [6, 8], "counts": string_of([4, 0, 0, 3, 41])}
    content[0]["segmentations"][2] = spoiled
    assert mask_api.area(spoiled) == 3, "it is a mask"
    report = check(tmp_path, content)
    assert report.accepted and any("empty runs" in warning for warning in report.warnings)


def string_of(lengths: list[int]) -> str:
    """COCO's compressed form, written as the C code writes it: differences from the number two before, base 32."""
    text = ""
    for i, length in enumerate(lengths):
        value = length - (lengths[i - 2] if i > 2 else 0)
        more = True
        while more:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            text += chr(48 + digit + 32 * more)
    return text


# zips


def zipped(folder: Path, members: dict[str, str]) -> Path:
    path = folder / "sent.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    "names, kind, message",
    [
        (["out/results.json"], "nested zip", "holds 'out/results.json', expected 'results.json' at its root"),
        (["results.json", "out/results.json"], "nested zip", "holds 'out/results.json'"),
        (["result.json"], "no results", "holds no results.json. OVIS takes these"),
        (["../results.json"], "broken zip", "lies outside of it"),
    ],
)
def test_results_anywhere_but_at_the_root_of_the_zip(names: list[str], kind: str, message: str, tmp_path: Path) -> None:
    path = zipped(tmp_path, {name: json.dumps(tracks()) for name in names})
    report = check_submission(OVIS, path, split_file(tmp_path))
    assert report.defects == {kind: 1} and message in next(report.lines())


def test_what_macos_adds_is_a_warning(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"results.json": json.dumps(tracks()), "__MACOSX/._results.json": "x"})
    report = check_submission(OVIS, path, split_file(tmp_path))
    assert report.accepted and "does not look at" in report.warnings[0]


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_a_truncated_zip_is_told(kept: float, tmp_path: Path) -> None:
    path = zipped(tmp_path, {"results.json": json.dumps(tracks())})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    for name in ("sent.zip", "without_suffix"):
        report = check_submission(OVIS, path.rename(tmp_path / name), split_file(tmp_path))
        assert report.defects == {"broken zip": 1} and "no whole zip" in next(report.lines())
        path = tmp_path / name


def test_a_zip_with_a_changed_byte_is_told(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"results.json": json.dumps(tracks())})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    assert check_submission(OVIS, path, split_file(tmp_path)).defects == {"broken zip": 1}


def test_packing_gives_the_same_bytes_again_and_what_is_packed_is_accepted(tmp_path: Path) -> None:
    path, split = write(tmp_path, tracks()), split_file(tmp_path)
    packed = [tmp_path / "a.zip", tmp_path / "b" / "b.zip"]
    for out in packed:
        assert pack_submission(OVIS, path, split, out).accepted
        path.touch()
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert check_submission(OVIS, packed[0], split).accepted
    with zipfile.ZipFile(packed[0]) as archive:
        (member,) = archive.infolist()
        assert (member.filename, member.date_time) == ("results.json", (1980, 1, 1, 0, 0, 0))
        assert archive.read(member) == path.read_bytes()


def test_a_nested_zip_is_not_packed_but_told(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"out/results.json": json.dumps(tracks())})
    report = pack_submission(OVIS, path, split_file(tmp_path), tmp_path / "out.zip")
    assert report.defects == {"nested zip": 1} and not (tmp_path / "out.zip").exists()


def test_nothing_is_packed_over_a_zip_or_with_a_defect(tmp_path: Path) -> None:
    split, out = split_file(tmp_path), tmp_path / "out.zip"
    assert not pack_submission(OVIS, write(tmp_path, tracks()[:1]), split, out).accepted
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        pack_submission(OVIS, write(tmp_path, tracks()), split, out)
    assert out.read_text() == "mine"
    assert pack_submission(OVIS, write(tmp_path, tracks()), split, out, overwrite=True).accepted
    assert zipfile.is_zipfile(out)


def test_absent_files_are_errors_and_no_defects(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        check_submission(OVIS, tmp_path / "absent.json", split_file(tmp_path))
    with pytest.raises(SchemaError, match="There is no file"):
        check_submission(OVIS, write(tmp_path, tracks()), tmp_path / "absent.json")
    with pytest.raises(SchemaError, match="holds a list, expected a JSON object"):
        check_submission(OVIS, write(tmp_path, tracks()), write(tmp_path, tracks()))


def test_a_split_says_what_it_has(tmp_path: Path) -> None:
    split = read_split(split_file(tmp_path))
    assert {i: video.length for i, video in split.videos.items()} == LENGTHS
    assert split.categories == {1: "Person", 25: "Vehical"}
    document = json.loads(split.path.read_text())
    split.path.write_text(json.dumps(document | {"annotations": [{"id": "not looked at"}]}))
    assert read_split(split.path) == split


@pytest.mark.parametrize("name", sorted(name for name, server in BENCHMARKS.items() if not server.tracking))
def test_every_benchmark_of_tracks_takes_results_json_alone(name: str, tmp_path: Path) -> None:
    report = check_submission(BENCHMARKS[name], write(tmp_path, tracks()), split_file(tmp_path))
    assert report.accepted and BENCHMARKS[name].single == "results.json"
    assert BENCHMARKS[name].title in report.warnings[0], "the split is not one of this benchmark"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner),
    max_leaves=6,
)
PLACES = ["track", "video_id", "category_id", "score", "segmentations", "mask", "size", "counts"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON, place=st.sampled_from(PLACES))
def test_no_value_at_any_place_is_more_than_a_defect(value: Any, place: str, tmp_path: Path) -> None:
    content = tracks()
    if place == "track":
        content[0] = value
    elif place == "mask":
        content[0]["segmentations"][0] = value
    elif place in ("size", "counts"):
        content[0]["segmentations"][0][place] = value
    else:
        content[0][place] = value
    for line in check(tmp_path, content).lines():
        assert line.isprintable()
