"""One video drawn twice is one file: nothing in it may come from memory that nobody wrote."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# The C library fills what it hands out with a byte of our choice; large blocks come from there too, not as fresh zeros.
DIRTY_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TOP_PAD_": "200000000"}

DRAW = """
import hashlib
import av, cv2, numpy as np
from vos_occ.media import VideoWriter

noise = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
still = cv2.resize(noise, (800, 480), interpolation=cv2.INTER_CUBIC)
for name in ("out.mp4", "out.webm"):
    with VideoWriter(name, 10, 800, 480, overwrite=True) as writer:
        for shift in range(4):
            writer.write(np.roll(still, 3 * shift, axis=1))
    with av.open(name) as container:
        print(name, hashlib.sha256(b"".join(bytes(packet) for packet in container.demux(video=0))).hexdigest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="fills memory with an option of the GNU C library")
def test_what_memory_held_before_is_not_in_the_video(tmp_path):
    def draw(fill: int) -> str:
        environment = os.environ | DIRTY_MEMORY | {"MALLOC_PERTURB_": str(fill)}
        command = [sys.executable, "-c", DRAW]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    assert draw(1) == draw(254)
