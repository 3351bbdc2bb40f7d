from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask

from eval.errors import SchemaError
from eval.readers.annotated_video import BOXES, EMPTY, VANISHED, AnnotatedVideo
from eval.readers.cvat import read_cvat_video
from vos_occ.media.image_source import read_image


def box(frame: int, x: float, outside: int = 0, width: float = 2, **attributes: object) -> str:
    """A box of 2 rows from column x on."""
    known = {"xtl": x, "ytl": 1, "xbr": x + width, "ybr": 3, "occluded": 0, **attributes}
    written = " ".join(f'{key}="{value}"' for key, value in known.items())
    return f'<box frame="{frame}" keyframe="1" outside="{outside}" {written}></box>'


def polygon(frame: int, points: str, inside: str = "") -> str:
    """A polygon, with attributes inside."""
    return f'<polygon frame="{frame}" keyframe="1" outside="0" occluded="0" points="{points}">{inside}</polygon>'


def track(*shapes: str, label: str = "dog", number: int = 0) -> str:
    """A track of shapes."""
    return f'<track id="{number}" label="{label}" source="manual">{"".join(shapes)}</track>'


def third_row(video: AnnotatedVideo) -> list[str | None]:
    """Of the first track's masks, as `#` and `.`."""
    masks = video.tracks[0].masks
    return [None if mask is None else "".join(".#"[pixel] for pixel in coco_mask.decode(mask)[2]) for mask in masks]


def areas_of(video: AnnotatedVideo) -> list[int | None]:
    """Pixels of the first track per frame, None where it is not."""
    return [None if mask is None else int(coco_mask.area(mask)) for mask in video.tracks[0].masks]


def test_boxes_move_along_a_line_between_keyframes(cvat) -> None:
    video = read_cvat_video(cvat(track(box(0, 0), box(4, 4))))
    assert third_row(video) == ["##......", ".##.....", "..##....", "...##...", "....##.."]
    assert video.notes[BOXES] == 5


def test_an_object_is_gone_from_outside_on_until_its_next_shape(cvat) -> None:
    video = read_cvat_video(cvat(track(box(0, 0), box(2, 4, outside=1), box(4, 4))))
    assert third_row(video) == ["##......", "##......", None, None, "....##.."]


def test_the_last_shape_stays_to_the_end(cvat) -> None:
    assert third_row(read_cvat_video(cvat(track(box(3, 1))))) == [None, None, None, ".##.....", ".##....."]


def test_polygons_of_equally_many_points_move_and_others_stay(cvat) -> None:
    square, moved = "0,1;2,1;2,3;0,3", "4,1;6,1;6,3;4,3"
    triangle = "0,0;6,0;0,6"
    assert third_row(read_cvat_video(cvat(track(polygon(0, square), polygon(4, moved)))))[2] == "..##...."
    assert third_row(read_cvat_video(cvat(track(polygon(0, square), polygon(4, triangle)))))[3] == "##......"


def test_masks_are_windows_of_runs_along_the_rows(cvat, picture) -> None:
    mask = '<mask frame="1" outside="0" occluded="0" rle="2, 3, 1" left="5" top="4" width="3" height="2"></mask>'
    gone = '<mask frame="2" outside="1" occluded="0" rle="0, 6" left="0" top="0" width="3" height="2"></mask>'
    video = read_cvat_video(cvat(track(mask, gone)))
    assert picture(video.tracks[0].masks[1]) == ["........"] * 4 + [".......#", ".....##."]
    assert areas_of(video) == [None, 3, None, None, None]


def test_a_box_turns_about_its_centre(cvat, picture) -> None:
    video = read_cvat_video(cvat(track(box(0, 1, width=4, rotation=90.0)), length=1))
    assert picture(video.tracks[0].masks[0]) == ["..##....", "..##....", "..##....", "..##....", "........", "........"]


def test_frames_are_counted_among_those_that_were_annotated(cvat) -> None:
    video = read_cvat_video(cvat(track(box(10, 0), box(20, 2, outside=1)), length=3, start=10, step="step=5"))
    assert areas_of(video) == [4, 4, None]
    assert list(video.source_frames) == [10, 15, 20]


def test_labels_keep_their_order_also_without_objects(cvat) -> None:
    video = read_cvat_video(cvat(track(box(0, 0), label="cat")))
    assert video.classes == {"dog": 1, "cat": 2}
    assert (video.name, video.height, video.width, video.length) == ("walk", 6, 8, 5)


@pytest.mark.parametrize(
    ("task", "name"),
    [("cam.1", "cam.1"), ("cam.2.MP4", "cam.2"), ("walk.mov", "walk"), ("a/b.mp4", "a_b"), (".mp4", ".mp4")],
)
def test_a_video_is_called_as_its_task_without_the_suffix_of_a_video(cvat, task: str, name: str) -> None:
    path = cvat(track(box(0, 0)))
    path.write_text(path.read_text().replace("walk.mp4", task))
    assert read_cvat_video(path).name == name


ORIGINAL_SIZE = "<original_size><width>8</width><height>6</height></original_size>"


@pytest.fixture
def pictures_task(cvat, tmp_path: Path) -> Path:
    """The file of a task made of pictures, of which CVAT says no size."""
    path = cvat(track(box(0, 0)), length=2)
    path.write_text(path.read_text().replace(ORIGINAL_SIZE, ""))
    (tmp_path / "frames" / "walk").mkdir(parents=True)
    return path


def test_a_task_of_pictures_has_their_size(pictures_task: Path, tmp_path: Path) -> None:
    for name in ("0.jpg", "1.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / "frames" / "walk" / name)
    video = read_cvat_video(pictures_task, tmp_path / "frames")
    assert (video.height, video.width, areas_of(video)) == (6, 8, [4, 4])


def test_pictures_that_lie_on_their_side_are_taken_upright(pictures_task: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "frames" / "walk" / "0.jpg"
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    video = read_cvat_video(pictures_task, tmp_path / "frames")
    assert (video.height, video.width) == (8, 6) == read_image(path).shape[:2]


def test_a_task_of_pictures_without_their_size_is_refused(pictures_task: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"original_size> is missing.*Put them into a folder 'walk'.*--frames"):
        read_cvat_video(pictures_task)
    with pytest.raises(SchemaError, match="no pictures in"):
        read_cvat_video(pictures_task, tmp_path / "frames")
    Image.new("RGB", (8, 6)).save(tmp_path / "frames" / "walk" / "0.jpg")
    Image.new("RGB", (8, 7)).save(tmp_path / "frames" / "walk" / "1.jpg")
    with pytest.raises(SchemaError, match="'0.jpg' 6 x 8 and '1.jpg' 7 x 8"):
        read_cvat_video(pictures_task, tmp_path / "frames")
    (tmp_path / "frames" / "walk" / "1.jpg").write_text("no picture")
    with pytest.raises(SchemaError, match="1.jpg' is no picture that can be read"):
        read_cvat_video(pictures_task, tmp_path / "frames")


def test_what_else_is_said_of_a_frame_comes_along(cvat) -> None:
    inside = '<attribute name="occlusion">severe_occlusion</attribute><attribute name="hidden">0.75</attribute>'
    inside += '<attribute name="colour">red</attribute>'
    first = polygon(0, "0,0;4,0;4,4;0,4", inside)
    second = '<polygon frame="1" outside="0" occluded="1" z_order="2" points="0,0;4,0;4,4;0,4"></polygon>'
    facts = read_cvat_video(cvat(track(first, second), length=2)).tracks[0].per_frame
    assert facts == {
        "occlusion": ("severe_occlusion", None),
        "hidden": (0.75, None),
        "attributes": ({"colour": "red"}, None),
        "occluded": (None, True),
        "z_order": (None, 2),
    }


def flashes(count: int, others: int = 0) -> str:
    """Tracks that are there in one frame only, and others that stay."""
    once = [track(box(0, 0), box(1, 0, outside=1), number=i) for i in range(count)]
    return "".join([*once, *(track(box(0, 0), number=count + i) for i in range(others))])


@pytest.mark.parametrize(
    ("once", "others", "length", "said"),
    [(4, 0, 5, True), (3, 3, 5, True), (3, 4, 5, False), (2, 0, 5, False), (4, 0, 1, False)],
    ids=["all", "half", "less than half", "too few to tell", "a video of one frame"],
)
def test_objects_drawn_in_shape_mode_are_noticed(cvat, once: int, others: int, length: int, said: bool) -> None:
    tracks = flashes(once, others) if length > 1 else "".join(track(box(0, 0), number=i) for i in range(once))
    remarks = read_cvat_video(cvat(tracks, length=length)).remarks
    expected = f"{once} of {once + others} tracks of walk are seen in one frame only: were they drawn in shape mode?"
    assert [remark.startswith(expected) for remark in remarks] == [True] * said


def test_values_of_occlusion_that_are_no_labels_are_noticed(cvat) -> None:
    values = ("slight", "no_occlusion", "", "much")
    shapes = [
        polygon(t, "0,0;4,0;4,4", f'<attribute name="occlusion">{value}</attribute>') for t, value in enumerate(values)
    ]
    (remark,) = read_cvat_video(cvat(track(*shapes))).remarks
    assert "occlusion of walk has 2 of 4 values that are no labels, such as 'slight'. Known are no_occlusion" in remark
    assert not read_cvat_video(cvat(track(shapes[1], shapes[2]))).remarks


def test_what_shows_nothing_is_counted(cvat) -> None:
    unseen, outside = track(box(0, 20)), track(box(0, 0, outside=1), number=1)
    notes = read_cvat_video(cvat(unseen + outside, length=2)).notes
    assert (notes[EMPTY], notes[VANISHED]) == (2, 2)


def test_the_zip_that_cvat_exports_is_read_too(cvat, tmp_path: Path) -> None:
    path = cvat(track(box(0, 0)))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(path, "annotations.xml")
    assert read_cvat_video(tmp_path / "export.zip").tracks == read_cvat_video(path).tracks


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        (track(box(9, 0)), "track 0, box of frame 9 is outside of the video, whose frames are 0 to 4"),
        (track(box(1, 0), box(1, 2)), "track 0, frame 1 has two shapes"),
        (track(box(1, 0), label=""), "track 0 has no label"),
        (track(box(1, 0, xtl="x")), "box of frame 1 has xtl='x', expected a number"),
        (track(box(1, 0, outside=2)), "has outside='2', expected 0 or 1"),
        (track(polygon(0, "1,1;2,2")), "polygon of frame 0 has 2 points, expected three or more"),
        (track(polygon(0, "1,1;2;3,3")), "has points that are not 'x,y;x,y;...'"),
        (
            track('<points frame="0" outside="0" points="1,1"></points>'),
            "points of frame 0 has no mask.*Draw it as one of",
        ),
        (
            track('<mask frame="0" rle="0, 9" left="0" top="0" width="2" height="2"/>'),
            "covers 9 pixels of a window of 2 x",
        ),
        (track('<mask frame="0" rle="a" left="0" top="0" width="2" height="2"/>'), "an rle that is not a list"),
        (track(box(0, 0)) * 2, "has two tracks of id 0"),
        ("<image id='0'/>", "holds <image>s, which have no tracks"),
        ("<track id='0' label='dog'>", "is not valid XML"),
        ("<meta><project/></meta>", "is of a whole project"),
    ],
)
def test_a_defect_is_named_with_its_place_and_cure(cvat, tracks: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as error:
        read_cvat_video(cvat(tracks))
    assert "annotations.xml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<width>8</width>", "", "<original_size/width> is missing, expected a whole number"),
        ("<size>5</size>", "<size>many</size>", "<size> is 'many'"),
        ("<frame_filter>", "<frame_filter>every=2", "frame_filter is 'every=2', expected step=N"),
        ("<annotations>", "<labels>", "not valid XML"),
        ("<annotations>", "<!DOCTYPE a><annotations>", "declares entities"),
    ],
)
def test_a_head_that_does_not_fit_is_named(cvat, old: str, new: str, message: str) -> None:
    path = cvat(track(box(0, 0)))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SchemaError, match=message):
        read_cvat_video(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_in_any_encoding_before_they_grow(cvat, encoding: str) -> None:
    """Each of nine entities is ten times the one before: 10 GB, of which nothing may be made."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(9))
    path = cvat(track(box(0, 0)).replace('label="dog"', 'label="&e8;"'))
    body = path.read_text().replace("<annotations>", f"<!DOCTYPE a [{entities}]><annotations>")
    body = body.removeprefix('<?xml version="1.0" encoding="utf-8"?>')
    path.write_bytes((f'<?xml version="1.0" encoding="{encoding}"?>' + body).encode(encoding))
    with pytest.raises(SchemaError, match="declares entities"):
        read_cvat_video(path)


def test_a_file_in_utf_16_is_read(cvat) -> None:
    path = cvat(track(box(0, 0)))
    expected = read_cvat_video(path)
    path.write_bytes(('<?xml version="1.0" encoding="utf-16"?>' + path.read_text().split("?>")[-1]).encode("utf-16"))
    assert read_cvat_video(path) == expected
