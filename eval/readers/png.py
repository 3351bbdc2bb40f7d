"""PNG files that say something with every pixel: read whole or not at all.

Pillow reads other formats under the same name, does not look at the check sums of pixels, and fills up what a file that
was cut off does not hold any more. A map of labels that is read so is another map.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence

from PIL import Image

from eval.readers.record import LARGEST_IMAGE

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PngError(ValueError):
    """Why a picture cannot be read, to follow its name: "is cut off"."""


def read_png(data: bytes) -> Image.Image:
    """Decode a picture.

    Args:
        data: The file.

    Returns:
        The picture, its pixels loaded.

    Raises:
        PngError: It is no PNG, damaged, or larger than any frame.
    """
    header, pixels = _checked(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                image.load()
                short = _may_be_short(image) and _inflated(pixels) < _raw_bytes(header)
    except Exception as error:  # Pillow's decoders let through whatever they meet: IndexError, struct.error, ...
        raise PngError(f"is no image that can be decoded ({error})") from None
    if short:
        raise PngError("has fewer pixels than it says, or is cut off")
    return image


def bit_depth(data: bytes) -> int:
    """Bits of a channel, from the header of a PNG that `read_png` takes."""
    return data[24]


def _checked(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header and the pixels of a file of which all chunks are there and as they were written."""
    if not data.startswith(_SIGNATURE):
        raise PngError("is no image in PNG format")
    at, kind, header, pixels = len(_SIGNATURE), b"", b"", []
    while kind != b"IEND":
        head = data[at : at + 8]
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        end = at + 12 + length
        if len(head) < 8 or end > len(data):
            raise PngError("is no image, or is cut off")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise PngError("is damaged (a check sum is wrong)")
        if not header:
            header = _checked_header(kind, data[at + 8 : end - 4])
        if kind == b"IDAT":
            pixels.append(data[at + 8 : end - 4])
        at = end
    return header, pixels


def _checked_header(kind: bytes, content: bytes) -> bytes:
    if kind != b"IHDR" or len(content) != 13:
        raise PngError("is no image in PNG format: it does not begin with a header")
    width, height = struct.unpack(">II", content[:8])
    if not 0 < width * height <= LARGEST_IMAGE:
        raise PngError(f"says that it has {width} x {height} pixels, expected at most {LARGEST_IMAGE}")
    return content


def _may_be_short(image: Image.Image) -> bool:
    """Whether the last row is empty, as Pillow leaves rows that are missing; to count them costs half of decoding."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    return bool(image.info.get("interlace")) or not any(last_row.tobytes())


def _raw_bytes(header: bytes) -> int:
    """How many bytes the rows of a picture have, with one for the filter of each; interlaced ones have more."""
    width, height, depth, colours = struct.unpack(">IIBB", header[:10])
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    return height * (1 + -(-width * depth * channels // 8))


def _inflated(pixels: Sequence[bytes]) -> int:
    """Bytes in the compressed rows, counted a little at a time."""
    inflate, count = zlib.decompressobj(), 0
    for piece in pixels:
        while piece:
            count += len(inflate.decompress(piece, 1 << 16))
            piece = inflate.unconsumed_tail
    return count
