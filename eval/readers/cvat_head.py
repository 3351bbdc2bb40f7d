"""What a file of CVAT for video says before its tracks: names and size of the video, frames annotated, labels."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath, PureWindowsPath

from eval.errors import SchemaError
from eval.readers.annotated_inputs import refuse_torn_zip
from eval.readers.annotated_pictures import picture_size
from eval.readers.annotated_video import file_name, video_stem
from eval.readers.archive import is_zip, list_members, read_members
from eval.readers.mots import MOST_FRAMES
from eval.readers.record import LARGEST_IMAGE

XML_CURE = "Export it again as 'CVAT for video 1.1'."


def parse_cvat(path: Path) -> ElementTree.Element:
    """The document of a CVAT file of tracks, or of the zip that CVAT puts it in.

    Raises:
        SchemaError: It is none.
    """
    if not path.is_file():
        raise SchemaError(f"There is no file '{path}'. Check the path.")
    refuse_torn_zip(path)
    data = path.read_bytes()
    if is_zip(path):
        members = [name for name in list_members(path) if PurePosixPath(name).name == "annotations.xml"]
        if len(members) != 1:
            raise SchemaError(f"'{path}' holds {len(members)} files annotations.xml, expected one. {XML_CURE}")
        data = read_members(path, members)[0]
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_PlainTree(path)))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SchemaError(f"'{path}' is not valid XML: {error}. {XML_CURE}") from None
    if root.tag != "annotations":
        raise SchemaError(f"'{path}' holds <{root.tag}>, expected <annotations>. {XML_CURE}")
    if root.find("image") is not None:
        raise SchemaError(f"'{path}' holds <image>s, which have no tracks: 'CVAT for images 1.1'. {XML_CURE}")
    if root.find("meta/project") is not None:
        raise SchemaError(f"'{path}' is of a whole project, whose tasks share frame numbers. Export each task alone.")
    return root


class _PlainTree(ElementTree.TreeBuilder):
    """Builds the document; refuses one of which entities could make gigabytes, in whatever encoding they stand."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called at `<!DOCTYPE`, without which there are no entities."""
        raise SchemaError(f"'{self._path}' declares entities, which CVAT does not. {XML_CURE}")


class CvatHead:
    """What the head of the file says of the video: its name and its file's, size, which frames were annotated, labels.

    Args:
        root: The document.
        file: Its name, for errors.
        frames: Folder with a folder of pictures of the task's name, which have the size where the file does not say it.
    """

    def __init__(self, root: ElementTree.Element, file: str, frames: Path | None = None) -> None:
        self.file = file
        name = (root.findtext("meta/task/name") or "").strip() or Path(file).stem
        self.name = video_stem(file_name(name))
        self.media = PureWindowsPath((root.findtext("meta//source") or "").strip()).name
        self.height, self.width = self._size(root, frames)
        self.first = self._number(root, "start_frame", least=0, missing=0)
        frame_filter = root.findtext(".//frame_filter") or ""
        step = frame_filter.strip().removeprefix("step=") or "1"
        if not step.isdecimal() or not 1 <= int(step[:9]) <= MOST_FRAMES:
            raise self.error("frame_filter", f"is {frame_filter[:40]!r}, expected step=N", "Correct it.")
        self.step = int(step)
        self.length = self._length(root)
        self.labels = [label.text.strip() for label in root.iterfind("meta//label/name") if label.text]

    def error(self, place: str, problem: str, cure: str) -> SchemaError:
        return SchemaError(f"{place or 'The file'} {problem} ({self.file}). {cure}")

    def index_of(self, frame: int, place: str) -> int:
        """Place of a frame, as CVAT numbers it in the whole video, among those that were annotated."""
        index, beside = divmod(frame - self.first, self.step)
        if beside or not 0 <= index < self.length:
            last = self.frame_of(self.length - 1)
            steps = "" if self.step == 1 else f" in steps of {self.step}"
            problem = f"is outside of the video, whose frames are {self.first} to {last}{steps}"
            raise self.error(place, problem, "Correct <size> or the frame.")
        return index

    def frame_of(self, index: int) -> int:
        """The number that CVAT gives a frame."""
        return self.first + index * self.step

    def _size(self, root: ElementTree.Element, frames: Path | None) -> tuple[int, int]:
        """Height and width, which CVAT writes for tasks made of a video alone."""
        if root.find(".//original_size") is None:
            if frames is None:
                cure = f"Put them into a folder '{self.name}' and give the folder that it is in (--frames, no --media)."
                raise self.error("<original_size>", "is missing, as where a task is made of pictures", cure)
            return picture_size(frames / self.name)
        height, width = (self._number(root, f"original_size/{side}") for side in ("height", "width"))
        if height * width > LARGEST_IMAGE:
            size = f"{height} x {width} pixels"
            raise self.error("original_size", f"is {size}, expected at most {LARGEST_IMAGE} pixels", "Correct it.")
        return height, width

    def _length(self, root: ElementTree.Element) -> int:
        if root.findtext(".//size") is not None:
            return self._number(root, "size", most=MOST_FRAMES)
        last = self._number(root, "stop_frame", least=self.first, most=self.first + MOST_FRAMES * self.step)
        return (last - self.first) // self.step + 1

    def _number(
        self, root: ElementTree.Element, name: str, least: int = 1, most: int = 1 << 31, missing: int | None = None
    ) -> int:
        text = root.findtext(f"meta//{name}") or root.findtext(f".//{name}")
        if text is None and missing is not None:
            return missing
        if text is None or not text.strip().isdecimal() or not least <= int(text.strip()[:12]) <= most:
            found = "is missing" if text is None else f"is {text.strip()[:40]!r}"
            raise self.error(f"<{name}>", f"{found}, expected a whole number from {least} to {most}", "Correct it.")
        return int(text)
