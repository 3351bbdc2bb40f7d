"""One video, frame by frame, in bounded memory. Knows nothing of files."""

from __future__ import annotations

import numpy as np

from vos_occ.models.video.contract import VideoMeta, VideoModel, VideoState
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError


class VideoSession:
    """Owns what is remembered of one video; several sessions may share a model, in turn.

    Args:
        model: a video model, as from `vos_occ.load`.
        num_frames: length of the video, where it is known.

    Example:
        >>> session = VideoSession(model)
        >>> for frame in video:
        ...     for result in session.step(frame.image):
        ...         print(result.track_ids, result.hidden)
        >>> last = session.finish()
    """

    def __init__(self, model: VideoModel, num_frames: int | None = None) -> None:
        self.model = model
        self.num_frames = num_frames
        self._state: VideoState | None = None
        self._next_frame = 0
        self._finished = False

    def __repr__(self) -> str:
        return f"VideoSession({type(self.model).__name__}, {self._next_frame} frames, {self._state})"

    def step(self, image: np.ndarray) -> list[FrameResult]:
        """Takes the next frame.

        Args:
            image: (H, W, 3) uint8 RGB, of the size of the first frame.

        Returns:
            The results that are now final, in frame order: one for models that answer at once, 0 to 6 for others.

        Raises:
            InputError: the frame is no RGB image, or of another size than the first.
            RuntimeError: the session is finished.
        """
        self._check(image)
        if self._state is None:
            self._state = self.model.new_state(VideoMeta(*image.shape[:2], self.num_frames))
        results = self.model.step(self._state, image, self._next_frame)
        self._next_frame += 1
        return results

    def finish(self) -> list[FrameResult]:
        """The results still owed; no step is taken after it. A second call owes nothing."""
        if self._finished or self._state is None:
            self._finished = True
            return []
        self._finished = True
        return self.model.finish(self._state)

    def _check(self, image: np.ndarray) -> None:
        if self._finished:
            raise RuntimeError("The session is finished; start a new one for another video.")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            has_nan = image.dtype.kind == "f" and not np.isfinite(image).all()
            raise InputError(
                f"Frame {self._next_frame}: expected an (H, W, 3) uint8 RGB image, found {image.shape} {image.dtype}"
                f"{' with NaN or infinite pixels' if has_nan else ''}. Convert it: "
                "what the range of other types means, only their maker knows."
            )
        if self._state is not None and image.shape[:2] != (self._state.meta.height, self._state.meta.width):
            raise InputError(
                f"Frame {self._next_frame} is {image.shape[1]}x{image.shape[0]}, but the video began with "
                f"{self._state.meta.width}x{self._state.meta.height}. Start a session per video, or resize the frames."
            )
