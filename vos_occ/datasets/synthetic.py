"""The synthetic world: seeded videos of textured objects that pass behind each other, with the truth known exactly.

Every random draw of a video comes from one numpy Generator made from (split, seed), before the first frame; frames
are then rendered on demand and in any order. `heldout` shares with `train` neither photographs, pattern
constructions nor outline parameters: scores on it are about new textures and shapes, not only new seeds.

How crowded it is (DESIGN.md, "The synthetic world"; `tests/datasets/test_synthetic_statistics.py` measures it over
train videos): of all (frame, instance) pairs whose amodal mask reaches `MIN_AREA` pixels of the image, at least 40 %
are hidden by more than 30 %; of all (frame, occluder, occludee) triples of `in_front`, at least 30 % are of one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vos_occ.datasets.motion import camera_path, group_centres, member_path, plan_groups, wanderer_path
from vos_occ.datasets.patterns import Split
from vos_occ.datasets.sprites import CLASSES, draw_sprite
from vos_occ.datasets.synthetic_export import write_videos
from vos_occ.datasets.synthetic_scene import Backdrop, Layer, Scene
from vos_occ.datasets.synthetic_truth import MIN_AREA, SyntheticFrame
from vos_occ.datasets.textures import PHOTOGRAPHS, background_texture
from vos_occ.structures.errors import InputError

__all__ = ["CLASSES", "MIN_AREA", "SyntheticFrame", "SyntheticVideo", "SyntheticWorld", "write_dataset"]

SIZES = (35.0, 110.0)
"""Longest extent of an object in pixels of a 192 x 320 picture; other pictures scale it."""

SAME_CLASS = 0.7
"""Chance that a member of a group takes the group's class instead of any."""


class SyntheticVideo:
    """A video whose frames are rendered when asked for.

    Args:
        scene: everything drawn at random, drawn.
        name: unique within its world.
        classes: class names by label.

    Attributes:
        scene, name, classes: as given.
    """

    def __init__(self, scene: Scene, name: str, classes: Sequence[str] = CLASSES) -> None:
        self.scene = scene
        self.name = name
        self.classes = tuple(classes)

    @property
    def height(self) -> int:
        return self.scene.height

    @property
    def width(self) -> int:
        return self.scene.width

    def __len__(self) -> int:
        return self.scene.num_frames

    def __getitem__(self, frame_index: int) -> SyntheticFrame:
        """Renders one frame.

        Raises:
            IndexError: no such frame; frames are counted from 0.
        """
        if not 0 <= frame_index < len(self):
            raise IndexError(f"Video {self.name} has frames 0 to {len(self) - 1}, asked for {frame_index}.")
        return self.scene.render(frame_index)

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self[frame_index] for frame_index in range(len(self)))

    def __repr__(self) -> str:
        return f"SyntheticVideo({self.name}, {len(self)} frames of {self.height}x{self.width})"


class SyntheticWorld:
    """Draws videos from seeds.

    Args:
        split: which pool of photographs, patterns and outlines to draw from.
        height, width: of every frame, in pixels, at least 64.
        num_frames: of every video.
        num_objects: fewest and most objects of a scene, within 1 to 6.

    Attributes:
        classes: class names by label.
        drawn_as: what draws each class, of `sprites.LOOKS`.

    Raises:
        InputError: an argument out of range.
    """

    classes: tuple[str, ...] = CLASSES
    drawn_as: tuple[str, ...] = CLASSES

    def __init__(
        self,
        split: Split = "train",
        *,
        height: int = 192,
        width: int = 320,
        num_frames: int = 30,
        num_objects: tuple[int, int] = (3, 6),
    ) -> None:
        if split not in PHOTOGRAPHS:
            raise InputError(f"split must be one of {', '.join(PHOTOGRAPHS)}, got {split!r}.")
        if min(height, width) < 64 or num_frames < 1:
            found = f"{num_frames} of {height}x{width}"
            raise InputError(f"Expected at least 1 frame of at least 64x64 pixels, got {found}.")
        if not 1 <= num_objects[0] <= num_objects[1] <= 6:
            raise InputError(f"num_objects must be (fewest, most) within 1 to 6, got {num_objects}.")
        self.split, self.height, self.width, self.num_frames = split, height, width, num_frames
        self.num_objects = num_objects

    def name(self, seed: int) -> str:
        """That of the video of a seed."""
        return f"{self.split}_{seed:05d}"

    def video(self, seed: int) -> SyntheticVideo:
        """The video of a seed: the same pixels and masks every time."""
        rng = np.random.default_rng([tuple(PHOTOGRAPHS).index(self.split), seed])
        photographs = rng.permutation(PHOTOGRAPHS[self.split]).tolist()
        turn = rng.uniform(0, 2 * np.pi)
        light = np.array([np.cos(turn), np.sin(turn)])
        scene = Scene(
            layers=self._layers(photographs[1:], light, rng),
            backdrop=self._backdrop(photographs[0], light, rng),
            camera=camera_path(self.num_frames, self.height, self.width, rng),
            height=self.height,
            width=self.width,
        )
        return SyntheticVideo(scene, self.name(seed), self.classes)

    def _backdrop(self, photograph: str, light: np.ndarray, rng: np.random.Generator) -> Backdrop:
        border = max(self.height, self.width) // 6
        size = self.height + 2 * border, self.width + 2 * border
        image = background_texture(self.split, *size, photograph, rng)
        return Backdrop.draw(image, border, self.num_frames, light, rng)

    def _layers(self, photographs: list[str], light: np.ndarray, rng: np.random.Generator) -> list[Layer]:
        """The objects, group by group; depth is drawn apart from everything else."""
        count = int(rng.integers(self.num_objects[0], self.num_objects[1] + 1))
        groups = plan_groups(count, rng)
        centres = group_centres(len(groups), self.num_frames, self.height, self.width, rng)
        depths = rng.permutation(count).tolist()
        layers: list[Layer] = []
        for members, centre in zip(groups, centres, strict=True):
            group_depths, depths = depths[:members], depths[members:]
            layers += self._group(group_depths, centre, light, photographs, rng)
        return layers

    def _group(
        self, depths: list[int], centre: np.ndarray, light: np.ndarray, photographs: list[str], rng: np.random.Generator
    ) -> list[Layer]:
        """Objects that keep crossing each other; more often than not they are of one class."""
        members, unit = len(depths), min(self.height / 192, self.width / 320)
        sizes = unit * np.clip(rng.uniform(50, 100) * rng.uniform(0.65, 1.35, members), *SIZES)
        surfaces = rng.permutation(photographs).tolist()  # no two of a group alike, so that each can be known again
        shared = int(rng.integers(len(self.drawn_as)))
        start = rng.uniform(0, np.pi)
        layers = []
        for place, (size, depth) in enumerate(zip(sizes, depths, strict=True)):
            label = shared if rng.random() < SAME_CLASS else int(rng.integers(len(self.drawn_as)))
            if members == 1:
                path = wanderer_path(self.height, self.width, self.num_frames, size, rng)
            else:
                direction = start + np.pi * (place + rng.uniform(-0.2, 0.2)) / members
                path = member_path(centre, direction, float(sizes.mean()), rng)
            sprite = draw_sprite(self.drawn_as[label], self.split, size / 2, surfaces[place], light, rng)
            layers.append(Layer(sprite, path, label, depth))
        return layers


def write_dataset(
    folder: str | Path,
    split: Split,
    seeds: Iterable[int],
    *,
    coco_stride: int = 1,
    image_format: str = "jpg",
    overwrite: bool = False,
    **world: Any,
) -> None:
    """Writes videos of one split as `folder/frames/VIDEO/00000.jpg`, annotations_ytvis.json and annotations_coco.json.

    Args:
        seeds: one video each.
        coco_stride: every how many frames there is an image in the COCO file.
        image_format: "jpg" or "png".
        overwrite: replace annotations that exist.
        world: further keywords of `SyntheticWorld`.

    Raises:
        InputError: an argument out of range.
        OutputExistsError: the annotations exist and `overwrite` is off.

    What the files hold is said in `synthetic_export.write_videos`.
    """
    source = SyntheticWorld(split, **world)
    videos = (source.video(seed) for seed in seeds)
    write_videos(Path(folder), videos, coco_stride=coco_stride, image_format=image_format, overwrite=overwrite)
