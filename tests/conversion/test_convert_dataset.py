from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from eval.readers.ytvis import read_ytvis
from vos_occ.results.ytvis import write_ytvis_dataset
from vos_occ.structures import rle

TOOL = Path(__file__).parents[2] / "tools" / "convert_dataset.py"
MOVING = """<track id="3" label="cat" source="manual">
<box frame="0" outside="0" occluded="0" xtl="0" ytl="0" xbr="2" ybr="2"></box>
<box frame="3" outside="1" occluded="0" xtl="2" ytl="0" xbr="4" ybr="2"></box></track>"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("script_convert_dataset", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tool: ModuleType, tmp_path: Path):
    def run(source: str, target: str, *arguments: object) -> int:
        return tool.main(["--from", source, "--to", target, *map(str, arguments)])

    return run


def pictures(folder: Path, count: int, size: tuple[int, int] = (6, 8)) -> Path:
    folder.mkdir(parents=True)
    for t in range(count):
        cv2.imwrite(str(folder / f"p{t}.png"), np.full((*size, 3), 30 * t, np.uint8))
    return folder


def test_a_cvat_file_and_its_video_become_a_data_set_that_trains(run, cvat, tmp_path: Path) -> None:
    media, frames, out = pictures(tmp_path / "media", 8), tmp_path / "frames", tmp_path / "mine.json"
    path = cvat(MOVING.replace('frame="3"', 'frame="7"'), length=4, start=1, step="step=2")
    path.write_text(path.read_text().replace('frame="0"', 'frame="1"'))
    assert run("cvat-video", "ytvis", path, "--media", media, "--frames", frames, "--out", out) == 0
    dataset = read_ytvis(out)
    assert dataset.videos[0].file_names == tuple(f"walk/{t:06d}.jpg" for t in range(4))
    assert [mask is not None for mask in dataset.tracks[0].segmentations] == [True] * 3 + [False]
    assert dataset.tracks[0].id == 3
    shades = [cv2.imread(str(frames / name)).mean() for name in dataset.videos[0].file_names]
    assert shades == pytest.approx([30, 90, 150, 210], abs=3)


def test_names_of_pictures_come_from_their_folder(run, cvat, tmp_path: Path) -> None:
    pictures(tmp_path / "frames" / "walk", 4)
    assert (
        run("cvat-video", "ytvis", cvat(MOVING, 4), "--frames", tmp_path / "frames", "--out", tmp_path / "o.json") == 0
    )
    assert read_ytvis(tmp_path / "o.json").videos[0].file_names[1] == "walk/p1.png"


def test_a_task_of_pictures_has_the_size_of_these(run, cvat, tmp_path: Path) -> None:
    pictures(tmp_path / "frames" / "walk", 5)
    path = cvat(MOVING)
    path.write_text(path.read_text().replace("original_size", "no_size"))
    assert run("cvat-video", "ytvis", path, "--frames", tmp_path / "frames", "--out", tmp_path / "o.json") == 0
    video = read_ytvis(tmp_path / "o.json").videos[0]
    assert (video.height, video.width, video.length) == (6, 8, 5)


def lying(path: Path, orientation: int = 1) -> None:
    """A picture of 6 x 8 pixels, by its header perhaps to be turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 8)).save(path, exif=exif)


def cvat_of(tmp_path: Path, cvat) -> Path:
    return cvat(MOVING.replace('frame="3"', 'frame="1"'), length=2)


def coco_of(tmp_path: Path, cvat) -> Path:
    known = {"height": 6, "width": 8, "video_id": 1}
    images = [{"id": i, "file_name": f"walk/{i}.jpg", "frame_id": i, **known} for i in (0, 1)]
    runs = {"size": [6, 8], "counts": [0, 48]}
    found = [{"id": 1, "image_id": 1, "category_id": 1, "track_id": 1, "segmentation": runs}]
    content = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": found}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    return tmp_path / "coco.json"


def labelme_of(tmp_path: Path, cvat) -> Path:
    shape = {"label": "dog", "group_id": 7, "points": [[1, 1], [3, 1], [3, 3]], "shape_type": "polygon"}
    (tmp_path / "walk").mkdir()
    for t in (0, 1):
        content = {"shapes": [shape], "imageHeight": 6, "imageWidth": 8, "imagePath": f"{t}.jpg"}
        (tmp_path / "walk" / f"{t}.json").write_text(json.dumps(content))
    return tmp_path / "walk"


@pytest.mark.parametrize(
    ("source", "of", "file"),
    [
        ("cvat-video", cvat_of, "annotations.xml"),
        ("coco-track", coco_of, "coco.json"),
        ("labelme", labelme_of, "walk"),
    ],
)
def test_pictures_of_another_size_than_the_annotations_are_refused(
    run, cvat, tmp_path: Path, capsys, source: str, of, file: str
) -> None:
    path, rest = of(tmp_path, cvat), ("--frames", tmp_path / "frames", "--out", tmp_path / "o.json")
    lying(tmp_path / "frames" / "walk" / "0.jpg", orientation=6)
    lying(tmp_path / "frames" / "walk" / "1.jpg")
    assert run(source, "ytvis", path, *rest) == 2
    said = capsys.readouterr().err
    assert f"walk/1.jpg' is 8 x 6, but {file} is of 6 x 8 (height x width)." in said and said.count("\n") == 1
    lying(tmp_path / "frames" / "walk" / "1.jpg", orientation=8)
    assert run(source, "ytvis", path, *rest) == 0


def test_names_that_a_coco_file_has_not_are_made_up_and_that_is_said(run, tmp_path: Path, capsys) -> None:
    images = [{"id": i, "height": 2, "width": 3, "video_id": 5, "frame_id": i} for i in (1, 2)]
    runs = {"size": [2, 3], "counts": [0, 6]}
    found = [{"id": 1, "image_id": 1, "category_id": 1, "track_id": 1, "segmentation": runs}]
    content = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": found}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    assert run("coco-track", "ytvis", tmp_path / "coco.json", "--out", tmp_path / "o.json") == 0
    assert "names of frames are made up" in capsys.readouterr().out
    assert read_ytvis(tmp_path / "o.json").videos[0].file_names == ("5/000000.jpg", "5/000001.jpg")


def test_what_was_guessed_filled_or_left_out_is_said(run, cvat, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("cvat-video", "ytvis", cvat(MOVING), "--out", tmp_path / "o.json") == 0
    said = capsys.readouterr().out
    assert "1 video, 1 track, 3 masks in" in said
    assert "Note: 3 frames are boxes, written as filled rectangles." in said
    assert "names of frames are made up" in said
    assert run("ytvis", "mots-png", tmp_path / "o.json", "--out", tmp_path / "mots") == 0
    assert "mots-png has no place for file_names, source; these are left out" in capsys.readouterr().out


def test_videos_whose_tracks_share_ids_are_numbered_anew(run, cvat, tmp_path: Path) -> None:
    first, second = cvat(MOVING, name="a.xml"), cvat(MOVING, name="b.xml")
    second.write_text(second.read_text().replace("walk", "run"))
    assert run("cvat-video", "ytvis", first, second, "--out", tmp_path / "o.json") == 0
    assert [(t.id, t.extra["track_id"]) for t in read_ytvis(tmp_path / "o.json").tracks] == [(1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cvat-video", "ytvis", "a.xml", "a.xml"), "Two videos are named 'walk'"),
        (("cvat-video", "ytvis", "a.xml", "--frames", "."), "There are no pictures in"),
        (
            ("cvat-video", "ytvis", "a.xml", "--frames", ".", "--media", "media"),
            "has 5 of the 5 frames|is 4x2, but a.xml",
        ),
        (("cvat-video", "ytvis", "a.xml", "--classes", "x"), "only mots-png needs --classes"),
        (("cvat-video", "ytvis", "b.xml"), "There is no file"),
        (("ytvis", "cvat-video", "null.json"), "has no annotations to convert"),
    ],
    ids=["one name twice", "no pictures", "another video", "classes", "absent", "annotations null"],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run, cvat, tmp_path: Path, arguments: tuple, message: str, capsys, monkeypatch
) -> None:
    cvat(MOVING, name="a.xml")
    pictures(tmp_path / "media", 5, size=(2, 4))
    video = {"id": 1, "width": 4, "height": 2, "length": 1, "file_names": ["a/0.jpg"]}
    write_ytvis_dataset(tmp_path / "null.json", [video], None, [{"id": 1, "name": "cat"}])
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--out", "out") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message.split("|")[-1] in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """MOTS images of one sequence, of classes 1 and 2."""
    (tmp_path / "mots" / "walk").mkdir(parents=True)
    Image.fromarray(np.array([[1001, 2002]], np.uint16)).save(tmp_path / "mots" / "walk" / "000000.png")
    return tmp_path / "mots"


def test_names_of_classes_may_have_spaces_around_them(run, masks: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "o.json"
    assert run("mots-png", "ytvis", masks, "--classes", " person, guide dog", "--out", out) == 0
    assert [category.name for category in read_ytvis(out).categories] == ["person", "guide dog"]
    assert "KITTI" not in capsys.readouterr().out


@pytest.mark.parametrize("classes", ["person,,dog", "person,", ""])
def test_a_class_without_a_name_is_refused(run, masks: Path, tmp_path: Path, capsys, classes: str) -> None:
    assert run("mots-png", "ytvis", masks, "--classes", classes, "--out", tmp_path / "o.json") == 2
    place = classes.split(",").index("") + 1
    assert f"--classes {classes!r} has no name at place {place}" in capsys.readouterr().err


def test_classes_that_are_named_as_the_benchmark_names_them_are_noted(run, masks: Path, tmp_path: Path, capsys) -> None:
    assert run("mots-png", "ytvis", masks, "--out", tmp_path / "o.json") == 0
    said = "Note: Without labels.txt, classes are called as in KITTI MOTS: 1 car, 2 pedestrian."
    assert said in capsys.readouterr().out
    (masks / "labels.txt").write_text("cat\ndog\n")
    assert run("mots-png", "ytvis", masks, "--out", tmp_path / "o.json", "--overwrite") == 0
    assert "KITTI" not in capsys.readouterr().out


def absent(path: Path) -> None:
    """Leaves nothing there."""


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>" * 99)


def torn(path: Path) -> None:
    zipped(path)
    path.write_bytes(path.read_bytes()[:60])


def empty_coco(path: Path) -> None:
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))


def empty_ytvis(path: Path) -> None:
    path.write_text(json.dumps({"videos": [], "annotations": [], "categories": []}))


@pytest.mark.parametrize(
    ("source", "lay", "message"),
    [
        ("mots-png", absent, "There is no file or folder 'in.x'"),
        ("labelme", absent, "There is no file or folder 'in.x'"),
        ("labelme", zipped, "'in.x' is a zip. Unpack it and give the folder of one video."),
        ("coco-track", zipped, "'in.x' is a zip. Unpack it and give the json in it."),
        ("coco-track", torn, "'in.x' is a zip."),
        ("ytvis", zipped, "'in.x' is a zip."),
        ("cvat-video", torn, "'in.x' is no whole zip. Export it again"),
        ("mots-png", torn, "'in.x' is no whole zip. Export it again"),
        ("coco-track", empty_coco, "in.x has no images, and so no videos to convert."),
        ("ytvis", empty_ytvis, "in.x has no videos to convert."),
    ],
)
def test_what_is_no_file_of_its_format_at_all_is_called_what_it_is(
    run, tmp_path: Path, capsys, monkeypatch, source: str, lay, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(Path("in.x"))
    assert run(source, "ytvis" if source != "ytvis" else "coco-track", "in.x", "--out", "o.json") == 2
    assert message in capsys.readouterr().err
    assert not Path("o.json").exists()


def test_frames_that_are_not_there_name_the_options(run, cvat, tmp_path: Path, capsys) -> None:
    rest = ("--frames", tmp_path, "--out", tmp_path / "o.json")
    assert run("cvat-video", "ytvis", cvat(MOVING), *rest) == 2
    said = capsys.readouterr().err
    assert "There are no pictures in" in said and "--media" in said and "leave out --frames." in said


def test_track_ids_that_are_written_anew_are_not_called_left_out(run, cvat, tmp_path: Path, capsys) -> None:
    first, second = cvat(MOVING, name="a.xml"), cvat(MOVING, name="b.xml")
    second.write_text(second.read_text().replace("walk", "run"))
    assert run("cvat-video", "ytvis", first, second, "--out", tmp_path / "o.json") == 0
    assert run("ytvis", "coco-track", tmp_path / "o.json", "--out", tmp_path / "coco.json") == 0
    assert "coco-track has no place for source; these" in capsys.readouterr().out
    assert {found["track_id"] for found in json.loads((tmp_path / "coco.json").read_text())["annotations"]} == {1, 2}


@pytest.mark.parametrize(
    ("folders", "named", "expected"),
    [
        (("A/img1", "B/img1"), ("", ""), ["A_img1.xml", "B_img1.xml"]),
        (("A\\img1", "B\\img1"), ("", ""), ["A_img1.xml", "B_img1.xml"]),
        (("A/img1", "A/img1"), ("", ""), ["1.xml", "2.xml"]),
        (("A/img1", "B/img1"), ("walk", "run"), ["run.xml", "walk.xml"]),
        (("A/img1", "B/img1"), ("walk", ""), ["img1.xml", "walk.xml"]),
        (("", ""), ("", ""), ["1.xml", "2.xml"]),
    ],
)
def test_videos_without_a_name_are_told_apart_by_their_folders(
    run, tmp_path: Path, folders: tuple[str, str], named: tuple[str, str], expected: list[str]
) -> None:
    slash = "\\" if "\\" in folders[0] else "/"
    videos = [
        {"id": i, "width": 4, "height": 2, "length": 1, "file_names": [f"{folder}{slash}0.jpg" if folder else "0.jpg"]}
        | ({"name": name} if name else {})
        for i, (folder, name) in enumerate(zip(folders, named, strict=True), 1)
    ]
    content = {"videos": videos, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "in.json").write_text(json.dumps(content))
    assert run("ytvis", "cvat-video", tmp_path / "in.json", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == expected


def test_overlaps_do_not_fit_into_mots_images(run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mask = rle.encode(np.ones((2, 4), bool))
    track = {"video_id": 1, "category_id": 1, "iscrowd": 0, "segmentations": [mask], "bboxes": [[0, 0, 4, 2]]}
    video = {"id": 1, "width": 4, "height": 2, "length": 1, "file_names": ["a/0.jpg"]}
    tracks = [{"id": i, **track, "areas": [8]} for i in (1, 2)]
    write_ytvis_dataset(tmp_path / "in.json", [video], tracks, [{"id": 1, "name": "cat"}])
    assert run("ytvis", "mots-png", tmp_path / "in.json", "--out", tmp_path / "out") == 2
    assert "Tracks 1 and 2 of 'a' overlap in frame 0" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize("target", ["mots-png", "cvat-mots"])
@pytest.mark.parametrize(
    ("tracks", "classes", "message"),
    [(1000, 1, "'b' has 1000 tracks, and MOTS images hold up to 999"), (1, 65, "Track 2 of 'b' is a c65, which is")],
)
def test_more_than_pixels_hold_in_one_video_leaves_no_images_of_another(
    run, tmp_path: Path, capsys: pytest.CaptureFixture, target: str, tracks: int, classes: int, message: str
) -> None:
    masks = [rle.encode(np.arange(1000).reshape(25, 40) == pixel) for pixel in range(tracks)]
    known = {"iscrowd": 0, "bboxes": [[0, 0, 1, 1]], "areas": [1]}
    first = {"id": 1, "video_id": 1, "category_id": 1, "segmentations": masks[:1], **known}
    rest = [
        {"id": i, "video_id": 2, "category_id": classes, "segmentations": [mask], **known}
        for i, mask in enumerate(masks, 2)
    ]
    size = {"width": 40, "height": 25, "length": 1}
    videos = [{"id": i, "file_names": [f"{name}/0.jpg"], **size} for i, name in enumerate("ab", 1)]
    names = [{"id": i, "name": f"c{i}"} for i in range(1, classes + 1)]
    write_ytvis_dataset(tmp_path / "in.json", videos, [first, *rest], names)
    assert run("ytvis", target, tmp_path / "in.json", "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["cvat-video", "labelme", "mots-png", "coco-track"])
def test_masks_without_a_pixel_are_left_out(run, tmp_path: Path, capsys: pytest.CaptureFixture, target: str) -> None:
    mask, nothing = rle.encode(np.ones((2, 4), bool)), rle.encode(np.zeros((2, 4), bool))
    track = {"id": 1, "video_id": 1, "category_id": 1, "iscrowd": 0, "segmentations": [mask, nothing]}
    track |= {"bboxes": [[0, 0, 4, 2], [0, 0, 0, 0]], "areas": [8, 0]}
    video = {"id": 1, "width": 4, "height": 2, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}
    write_ytvis_dataset(tmp_path / "in.json", [video], [track], [{"id": 1, "name": "cat"}])
    out = tmp_path / "out"
    assert run("ytvis", target, tmp_path / "in.json", "--out", out) == 0
    assert "Note: 1 shapes cover no pixel and are left out." in capsys.readouterr().out
    written = {"cvat-video": out / "a.xml", "labelme": out / "a"}.get(target, out)
    assert run(target, "ytvis", written, "--out", tmp_path / "back.json") == 0
    assert [m is not None for m in read_ytvis(tmp_path / "back.json").tracks[0].segmentations] == [True, False]


def test_what_cannot_be_read_back_leaves_nothing_behind(run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = {"size": [2, 3], "counts": [0, 6]}
    content = {
        "images": [{"id": 1, "file_name": "a/0.jpg", "height": 2, "width": 3}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "track_id": 1, "segmentation": runs, "occlusion": "much"}
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    (tmp_path / "o.json").write_text("mine")
    assert run("coco-track", "ytvis", tmp_path / "coco.json", "--out", tmp_path / "o.json", "--overwrite") == 2
    said = capsys.readouterr().err
    assert 'annotations[0].occlusion[0] is "much", expected one of no_occlusion' in said and "(o.json)" in said
    assert (tmp_path / "o.json").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_no_frames_are_written_where_the_annotations_cannot_be(run, cvat, tmp_path: Path) -> None:
    media, frames, out = pictures(tmp_path / "media", 5), tmp_path / "frames", tmp_path / "o.json"
    out.write_text("mine")
    assert run("cvat-video", "ytvis", cvat(MOVING), "--media", media, "--frames", frames, "--out", out) == 2
    assert not frames.exists()


@pytest.mark.parametrize(
    ("count", "size", "attribute", "message"),
    [
        (5, (6, 9), "", "is 9x6, but b.xml is of 8x6"),
        (4, (6, 8), "", "has 4 of the 5 frames of b.xml"),
        (5, (6, 8), 'occlusion="somewhat"', "occlusion has 8 entries"),
    ],
    ids=["of another size", "too short", "annotations that are no data set"],
)
def test_a_video_that_does_not_fit_leaves_no_frames_of_any(
    run, cvat, tmp_path: Path, capsys, count: int, size: tuple[int, int], attribute: str, message: str
) -> None:
    files = [cvat(MOVING, name="a.xml"), cvat(MOVING, name="b.xml")]
    whole = files[1].read_text().replace("walk", "run")
    files[1].write_text(whole.replace('source="manual"', attribute))
    media, wrong = pictures(tmp_path / "media", 5), pictures(tmp_path / "wrong", count, size)
    rest = ("--frames", tmp_path / "data" / "frames", "--out", tmp_path / "o.json")
    assert run("cvat-video", "ytvis", *files, "--media", media, wrong, *rest) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xml", "b.xml", "media", "wrong"]
    files[1].write_text(whole)
    assert run("cvat-video", "ytvis", *files, "--media", media, media, *rest) == 0
    found = {path.name: len(list(path.iterdir())) for path in (tmp_path / "data" / "frames").iterdir()}
    assert found == {"walk": 5, "run": 5}


@pytest.fixture
def exports(cvat, tmp_path: Path):
    """Writes CVAT files of tasks, each of a file of a name (none where that is empty), and videos of five frames."""

    def exports(**sources: str) -> list[Path]:
        for task, source in sources.items():
            path = cvat(MOVING, name=f"{task}.xml")
            said = f"<source>{source}</source></meta>" if source else "</meta>"
            path.write_text(path.read_text().replace("walk.mp4", task).replace("</meta>", said))
        return [tmp_path / f"{task}.xml" for task in sources]

    return exports


def film(path: Path, length: int = 5) -> Path:
    """A video of 8 x 6 pixels."""
    Image.new("RGB", (8, 6)).save(
        path, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 6), (40 * t, 0, 0)) for t in range(1, length)]
    )
    return path


@pytest.mark.parametrize("named", [True, False], ids=["source", "name of the task"])
def test_videos_in_another_order_than_their_annotations_are_refused(
    run, exports, tmp_path: Path, capsys, named: bool
) -> None:
    files = exports(street="street.gif" if named else "", park="park.gif" if named else "")
    media = [film(tmp_path / f"{name}.gif") for name in ("park", "street")]
    rest = ("--frames", tmp_path / "frames", "--out", tmp_path / "o.json")
    assert run("cvat-video", "ytvis", *files, "--media", *media, *rest) == 2
    said = capsys.readouterr().err
    assert "park.gif' is given for street.xml, but is called as the video of park.xml" in said and said.count("\n") == 1
    assert not (tmp_path / "frames").exists() and not (tmp_path / "o.json").exists()
    assert run("cvat-video", "ytvis", *files, "--media", *media[::-1], *rest) == 0
    assert "Note: '" not in capsys.readouterr().out


def test_a_file_of_another_name_or_a_longer_one_is_taken_with_a_note(run, exports, tmp_path: Path, capsys) -> None:
    files, media = exports(street="street.gif"), film(tmp_path / "renamed.gif", 8)
    rest = ("--frames", tmp_path / "frames", "--out", tmp_path / "o.json")
    assert run("cvat-video", "ytvis", *files, "--media", media, *rest) == 0
    said = capsys.readouterr().out
    assert "renamed.gif' is given for street.xml, which is of a file 'street.gif'. Is it the same video?" in said
    assert "renamed.gif' goes on after frame 4, the last of street.xml. Is it the right video?" in said


def masks_of(folder: Path, *frames: int) -> Path:
    """MOTS images as CVAT names them, of the frames that have an object."""
    folder.mkdir(parents=True)
    for t in frames:
        Image.fromarray(np.full((6, 8), 1001, np.uint16)).save(folder / f"frame_{t:06d}.png")
    return folder


def test_masks_of_a_video_get_its_frames_also_those_without_objects(run, tmp_path: Path, capsys) -> None:
    masks, media, frames = masks_of(tmp_path / "mots" / "walk", 1, 2), film(tmp_path / "walk.gif"), tmp_path / "frames"
    rest = ("--classes", "dog", "--frames", frames, "--out", tmp_path / "o.json")
    assert run("mots-png", "ytvis", masks, "--media", media, *rest) == 0
    dataset = read_ytvis(tmp_path / "o.json")
    assert [mask is not None for mask in dataset.tracks[0].segmentations] == [False, True, True, False, False]
    assert dataset.videos[0].file_names == tuple(f"walk/{path.name}" for path in sorted((frames / "walk").iterdir()))
    assert (
        "walk.gif' has 5 frames; those after frame 2, the last of walk, are without objects." in capsys.readouterr().out
    )


def test_a_video_that_ends_before_its_masks_is_refused(run, tmp_path: Path, capsys) -> None:
    masks, media = masks_of(tmp_path / "mots" / "walk", 1, 5), film(tmp_path / "walk.gif")
    rest = ("--frames", tmp_path / "frames", "--out", tmp_path / "o.json")
    assert run("mots-png", "ytvis", masks, "--media", media, *rest) == 2
    assert "walk.gif' has 5 of the 6 frames of walk." in capsys.readouterr().err
    assert not (tmp_path / "frames").exists()


def test_there_is_a_file_for_every_video(run, tmp_path: Path, capsys) -> None:
    for name in "ab":
        masks_of(tmp_path / "mots" / name, 0)
    rest = ("--media", film(tmp_path / "a.gif"), "--frames", tmp_path / "frames", "--out", tmp_path / "o.json")
    assert run("mots-png", "ytvis", tmp_path / "mots", *rest) == 2
    assert "--media names 1 file for 2 videos (a, b). Give one for each." in capsys.readouterr().err


def test_a_video_whose_steps_end_with_it_is_not_called_longer(run, cvat, tmp_path: Path, capsys) -> None:
    path = cvat(MOVING.replace('frame="3"', 'frame="6"'), length=4, step="step=2")
    media = film(tmp_path / "walk.gif", 8)
    rest = ("--frames", tmp_path / "frames", "--out", tmp_path / "o.json")
    assert run("cvat-video", "ytvis", path, "--media", media, *rest) == 0
    assert "goes on" not in capsys.readouterr().out


def test_frames_of_a_run_before_are_replaced_when_all_is_well(run, cvat, tmp_path: Path) -> None:
    folder = tmp_path / "frames" / "walk"
    folder.mkdir(parents=True)
    for name in ("000000.jpg", "000009.jpg", "notes.txt"):
        (folder / name).write_text("old")
    rest = ("--frames", tmp_path / "frames", "--out", tmp_path / "o.json", "--overwrite")
    short = pictures(tmp_path / "short", 2)
    assert run("cvat-video", "ytvis", cvat(MOVING), "--media", short, *rest) == 2
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("000000.jpg", "000009.jpg", "notes.txt"), "old"
    )
    media = pictures(tmp_path / "media", 5)
    assert run("cvat-video", "ytvis", cvat(MOVING), "--media", media, *rest) == 0
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{t:06d}.jpg" for t in range(5)), "notes.txt"]
    assert list((tmp_path / "frames").iterdir()) == [folder]


def test_what_exists_is_not_replaced_unasked(run, cvat, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path, out = cvat(MOVING), tmp_path / "o.json"
    out.write_text("mine")
    assert run("cvat-video", "ytvis", path, "--out", out) == 2
    assert out.read_text() == "mine"
    assert run("cvat-video", "ytvis", path, "--out", out, "--overwrite") == 0
    assert json.loads(out.read_text())["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
