#!/usr/bin/env python
"""Plays videos in headless Chromium, on a page of its own, and says whether they look there as they do here.

    python tools/check_playback.py                        writes videos of every kind with VideoWriter and checks them
    python tools/check_playback.py out.mp4 [more ...]     checks these
    options: --browser PATH (default: chromium or chrome on PATH), --no-browser (only what the files say of themselves)

Per file: codec, profile, pixel format, even size, index in front, first time 0; then in the browser: plays to the end
without an error, size and duration are as announced, and at five moments the colours of 16 parts of the picture lie
within 16 of 255 of what `open_video` reads. Exit code 0 if all is well, 1 if a file fails, 2 if nothing can be checked.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av
import cv2
import numpy as np

from vos_occ.media import VideoWriter, open_video
from vos_occ.structures.errors import InputError, UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROFILES = {"h264": ("Constrained Baseline", "Baseline", "Main", "High"), "vp9": ("Profile 0",)}
TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
GRID = 4  # parts of the picture per side whose colours are compared
TOLERANCE = 16  # of 255: rounding, and the colour management of the browser
SECONDS = 90  # for one video

PAGE = """<!doctype html><meta charset=utf-8><title>playback</title><video id=v muted playsinline></video><script>
const {url, moments, grid} = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const v = document.getElementById("v");
const on = name => new Promise((yes, no) => {
  v.addEventListener(name, yes, {once: true});
  v.addEventListener("error", () => no(v.error ? v.error.message || "code " + v.error.code : "error"), {once: true});
});
function colours() {
  const c = document.createElement("canvas");
  [c.width, c.height] = [v.videoWidth, v.videoHeight];
  const g = c.getContext("2d");
  g.drawImage(v, 0, 0);
  const found = [];
  for (let row = 0; row < grid; row++) for (let column = 0; column < grid; column++) {
    const [x0, x1] = [column, column + 1].map(k => Math.floor(k * c.width / grid));
    const [y0, y1] = [row, row + 1].map(k => Math.floor(k * c.height / grid));
    const data = g.getImageData(x0, y0, x1 - x0, y1 - y0).data, sum = [0, 0, 0];
    for (let i = 0; i < data.length; i++) if (i % 4 < 3) sum[i % 4] += data[i];
    found.push(sum.map(s => 4 * s / data.length));
  }
  return found;
}
async function check() {
  const ready = on("loadeddata");
  v.src = url;
  await ready;
  const found = {width: v.videoWidth, height: v.videoHeight, duration: v.duration, colours: []};
  const ended = on("ended");
  await v.play();
  await ended;
  found.played = v.currentTime;
  found.frames = v.getVideoPlaybackQuality().totalVideoFrames;
  for (const moment of moments) {
    const seeked = on("seeked"), shown = new Promise(yes => v.requestVideoFrameCallback(yes));
    v.currentTime = moment;
    await seeked;
    await Promise.race([shown, new Promise(yes => setTimeout(yes, 500))]);  // none comes if this frame was shown
    found.colours.push(colours());
  }
  return found;
}
check().catch(error => ({error: String(error)})).then(
  found => fetch("/result", {method: "POST", body: JSON.stringify(found)}));
</script>"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description="Check that videos play in a browser.")
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--browser", help="path of a Chromium (default: the first one on PATH)")
    parser.add_argument("--no-browser", action="store_true", help="check only what the files say of themselves")
    args = parser.parse_args(arguments)
    try:
        browser = None if args.no_browser else find_browser(args.browser)
        with tempfile.TemporaryDirectory() as folder:
            videos = args.videos or write_samples(Path(folder))
            failed = sum(not report(video, browser) for video in videos)
    except UserError as error:
        print(f"check_playback: {error}", file=sys.stderr)
        return 2
    print(f"{len(videos) - failed} of {len(videos)} files are well" + ("." if browser else ", by what they say."))
    return int(failed > 0)


def report(video: Path, browser: str | None) -> bool:
    """Checks one file and prints a line; whether all is well."""
    wrong, said = file_faults(video)
    if browser is not None and not wrong:
        found = play(video, browser)
        wrong += browser_faults(video, found)
        if "error" not in found:
            said += f", played {found['played']:.2f} s, {found['frames']} frames"
    print(f"{video.name}: {said}: " + ("; ".join(wrong) or "well"), flush=True)
    return not wrong


def find_browser(name: str | None) -> str:
    """Path of the browser.

    Raises:
        InputError: there is none.
    """
    found = next((path for path in map(shutil.which, [name] if name else BROWSERS) if path), None)
    if found is None:
        raise InputError(
            f"No browser: '{name or ', '.join(BROWSERS)}' is not on PATH. Install one (apt install chromium), "
            "or use --no-browser."
        )
    return found


def write_samples(folder: Path) -> list[Path]:
    """Videos of every kind that VideoWriter makes for browsers: patches of colours that change with every frame."""
    kinds: list[tuple[str, int, int, float, list[float] | None]] = [
        ("even.mp4", 320, 240, 25, None),
        ("odd.mp4", 321, 241, 30000 / 1001, None),
        ("variable_rate.mp4", 320, 240, 10, [5.0, 5.1, 5.4, 5.45, 5.5, 6.2, 6.3, 6.4, 6.5, 6.6]),
        ("one_frame.mp4", 320, 240, 25, None),
        ("small.mp4", 32, 18, 5, None),
        ("tall.m4v", 270, 480, 50, None),
        ("quicktime.mov", 320, 240, 24, None),
        ("even.webm", 320, 240, 25, None),
        ("odd.webm", 161, 121, 12.5, None),
    ]
    paths = []
    for name, width, height, fps, times in kinds:
        paths.append(folder / name)
        count = 1 if name.startswith("one") else len(times or range(24))
        with VideoWriter(paths[-1], fps, width, height) as writer:
            for t in range(count):
                writer.write(_picture(t, width, height), None if times is None else times[t])
    return paths


def _picture(t: int, width: int, height: int) -> np.ndarray:
    """GRID x GRID patches of random colours, others in every frame."""
    patches = np.random.default_rng(t).integers(0, 256, (GRID, GRID, 3), dtype=np.uint8)
    return cv2.resize(patches, (width, height), interpolation=cv2.INTER_NEAREST)


def file_faults(path: Path) -> tuple[list[str], str]:
    """What a browser would stumble over, by the file itself; and the file in a few words.

    Raises:
        InputError: it cannot be opened as a video.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context
            first = next(container.decode(stream))
            facts = codec.name, codec.profile, first.format.name, first.width, first.height
            start = 0.0 if first.pts is None else float(first.pts * first.time_base)
    except (av.error.FFmpegError, IndexError, StopIteration) as error:
        raise InputError(f"'{path}' cannot be read as a video ({error}).") from error
    name, profile, pixels, width, height = facts
    index = index_place(path.read_bytes()) if path.suffix in (".mp4", ".m4v", ".mov") else "front"
    faults = {
        f"codec {name}, expected {' or '.join(PROFILES)}": name in PROFILES,
        f"profile {profile} of {name}": profile in PROFILES.get(name, (profile,)),
        f"pixel format {pixels}, expected yuv420p": pixels == "yuv420p",
        f"odd size {width}x{height}": width % 2 == 0 and height % 2 == 0,
        f"its index is at the {index}": index == "front",
        f"it begins at {start:.3f} s": start == 0,
    }
    return [fault for fault, well in faults.items() if not well], f"{name} {profile} {pixels} {width}x{height}"


def index_place(data: bytes) -> str:
    """Where `moov` lies among the boxes of an mp4: `front` or `end` of the pictures, or `none`."""
    position, order = 0, []
    while position + 8 <= len(data):
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        order.append(kind)
        if size < 8:
            break
        position += size
    if b"moov" not in order:
        return "none"
    return "front" if b"mdat" in order and order.index(b"moov") < order.index(b"mdat") else "end"


def browser_faults(path: Path, found: dict[str, Any]) -> list[str]:
    """What the browser shows otherwise than `open_video`."""
    if "error" in found:
        return [f"the browser says: {found['error']}"]
    moments, expected, duration, size = as_read(path)
    difference = float(np.abs(np.array(found["colours"]) - expected).max())
    faults = {
        f"size {found['width']}x{found['height']}, expected {size[0]}x{size[1]}": (
            (found["width"], found["height"]) == size
        ),
        f"duration {found['duration']:.3f} s, expected {duration:.3f} s": abs(found["duration"] - duration) < 0.1,
        f"stopped at {found['played']:.3f} s": abs(found["played"] - found["duration"]) < 0.1,
        "no frame was shown": found["frames"] > 0,
        f"colours differ by up to {difference:.0f} of 255": difference <= TOLERANCE,
    }
    return [fault for fault, well in faults.items() if not well]


def as_read(path: Path) -> tuple[list[float], np.ndarray, float, tuple[int, int]]:
    """Five moments, each in the middle of a frame; their colours, (5, GRID * GRID, 3); duration; size."""
    with open_video(path) as video:
        times, colours = [], []
        for frame in video:
            times.append(frame.time or 0.0)
            colours.append(_colours(frame.image))
        interval, size = 1 / video.fps, (video.width, video.height)
    with av.open(str(path)) as container:
        duration = times[-1] + interval if container.duration is None else container.duration / 1_000_000
    chosen = np.linspace(0, len(times) - 1, 5).round().astype(int)
    ends = [*times[1:], duration]
    return [(times[k] + ends[k]) / 2 for k in chosen], np.array([colours[k] for k in chosen]), duration, size


def _colours(image: np.ndarray) -> np.ndarray:
    """(GRID * GRID, 3) mean colours of the parts of a picture, row by row."""
    rows = [k * image.shape[0] // GRID for k in range(GRID + 1)]
    columns = [k * image.shape[1] // GRID for k in range(GRID + 1)]
    parts = [image[rows[i] : rows[i + 1], columns[j] : columns[j + 1]] for i in range(GRID) for j in range(GRID)]
    return np.array([part.mean(axis=(0, 1)) for part in parts])


def play(path: Path, browser: str) -> dict[str, Any]:
    """Plays one file in a browser; what the page found, or {"error": ...}.

    Raises:
        UserError: the browser said nothing in time.
    """
    results: queue.Queue[dict[str, Any]] = queue.Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, path, results))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    task = {"url": f"/video{path.suffix}", "moments": as_read(path)[0], "grid": GRID}
    address = f"http://127.0.0.1:{server.server_port}/#{json.dumps(task)}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *_FLAGS, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return results.get(timeout=SECONDS)
        except queue.Empty:
            raise UserError(f"{browser} said nothing about {path.name} in {SECONDS} s. Try it by hand.") from None
        finally:
            _end(process)
            server.shutdown()
            server.server_close()


_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # which root, and many containers, cannot have; the only page is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Handler(BaseHTTPRequestHandler):
    """Serves the page and one video, with the ranges that browsers need for seeking, and takes the result."""

    protocol_version = "HTTP/1.1"

    def __init__(self, path: Path, results: queue.Queue[dict[str, Any]], *arguments: Any) -> None:
        self._path = path
        self._results = results
        super().__init__(*arguments)

    def handle(self) -> None:
        with suppress(ConnectionError):  # the browser has seen enough of this range
            super().handle()

    def do_GET(self) -> None:
        if unquote(self.path) == "/":
            self._answer(200, PAGE.encode(), "text/html")
        elif self.path.startswith("/video"):
            self._video(self._path.read_bytes(), TYPES.get(self._path.suffix, "application/octet-stream"))
        else:
            self._answer(404, b"", "text/plain")

    def do_POST(self) -> None:
        self._results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(204, b"", "text/plain")

    def _video(self, data: bytes, kind: str) -> None:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first or 0), int(last) + 1 if last else len(data)
        part = data[start:stop]
        self._answer(206, part, kind, f"bytes {start}-{start + len(part) - 1}/{len(data)}")

    def _answer(self, status: int, content: bytes, kind: str, part: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if part is not None:
            self.send_header("Content-Range", part)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    sys.exit(main())
