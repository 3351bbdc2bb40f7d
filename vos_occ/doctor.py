"""Looks at this machine and says what works, what does not, how to cure it, and what to run next.

    python -m vos_occ.doctor            the whole table
    python -m vos_occ.doctor --quiet    only what is wrong

Ends with exit code 1 when something essential is broken. Each check is a function that returns findings; one that
raises is itself a finding.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, get_args

import vos_occ.compat  # noqa: F401  (before any mm* import)
from vos_occ.compat.backend import CURE, op_backend

Status = Literal["ok", "note", "broken"]

REINSTALL = "bash tools/setup.sh, or: pip install -e . -c constraints.txt"
PACKAGES = ("torch", "numpy", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "av", "pycocotools")
TORCH_VERSIONS = ((2, 6), (2, 14))
"""First supported and first unsupported, as in pyproject.toml."""

ONEDL_RIVALS = {
    "onedl-mmengine": ("mmengine", "mmengine-lite"),
    "onedl-mmcv": ("mmcv", "mmcv-full", "mmcv-lite"),
    "onedl-mmdetection": ("mmdet",),
}
"""Distributions that install into the same folder as ours, so that files of the one overwrite files of the other."""

DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "gif")


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        topic: what was looked at.
        status: `broken` is for what vos_occ cannot work without.
        detail: what was found.
        cure: what to do; required when broken.
    """

    topic: str
    status: Status
    detail: str
    cure: str | None = None

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"Finding.status must be one of {get_args(Status)}, found {self.status!r}.")
        if self.status == "broken" and not self.cure:
            raise ValueError(f"Finding {self.topic!r} is broken and needs a cure.")


def check_versions() -> list[Finding]:
    """Python and the packages everything stands on."""
    findings = [Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")]
    for package in PACKAGES:
        found = installed_version(package)
        if found is None:
            findings.append(Finding(package, "broken", "not installed", REINSTALL))
        else:
            findings.append(Finding(package, "ok", found))
    return findings


def check_torch_version() -> list[Finding]:
    """Whether torch is one that the stack is known to work with."""
    found = installed_version("torch")
    if found is None:
        return []
    release = tuple(int(part) for part in found.split("+")[0].split(".")[:2])
    first, after = TORCH_VERSIONS
    if first <= release < after:
        return []
    wanted = f">={first[0]}.{first[1]},<{after[0]}.{after[1]}"
    return [
        Finding("torch version", "note", f"{found} is untested; supported is {wanted}", f"pip install 'torch{wanted}'")
    ]


def check_rivals() -> list[Finding]:
    """Official and onedl distributions of one import package in one environment."""
    pairs = [
        (ours, rival)
        for ours, rivals in ONEDL_RIVALS.items()
        for rival in rivals
        if installed_version(ours) and installed_version(rival)
    ]
    if not pairs:
        return [Finding("official and onedl", "ok", "not mixed")]
    rivals = " ".join(rival for _, rival in pairs)
    ours = " ".join(own for own, _ in pairs)
    again = " ".join(f"{own}=={installed_version(own)}" for own, _ in pairs)
    cure = f"pip uninstall -y {rivals} {ours} && pip install --no-deps {again}"
    detail = ", ".join(f"{rival} and {own} own the same folder" for own, rival in pairs)
    return [Finding("official and onedl", "broken", detail, cure)]


def check_opencv() -> list[Finding]:
    """cv2, whose usual wheel needs libGL from the system."""
    wheels = {name: installed_version(name) for name in ("opencv-python", "opencv-python-headless")}
    headless = wheels["opencv-python-headless"] or wheels["opencv-python"]
    cure = f"pip install --force-reinstall --no-deps opencv-python-headless=={headless}" if headless else REINSTALL
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        system = "; or, for windows on screen: apt install libgl1 libglib2.0-0" if "lib" in str(error) else ""
        return [Finding("opencv", "broken", first_line(error), cure + system)]
    findings = [Finding("opencv", "ok", f"cv2 {cv2.__version__}; libGL is there or not needed")]
    if len({found for found in wheels.values() if found}) > 1:
        detail = f"opencv-python {wheels['opencv-python']} and headless {headless} share the folder cv2"
        findings.append(Finding("opencv wheels", "note", detail, cure))
    return findings


def check_stack() -> list[Finding]:
    """Whether mmengine, mmcv and mmdet import, and with them the whole model zoo."""
    for module, cure in (("mmengine.runner", REINSTALL), ("mmcv.ops", CURE), ("mmdet.models", REINSTALL)):
        try:
            importlib.import_module(module)
        except Exception as error:  # broken installs raise anything, OSError and RuntimeError included
            detail = f"import {module}: {type(error).__name__}: {first_line(error)}"
            return [Finding("mm* stack", "broken", detail, cure)]
    return [Finding("mm* stack", "ok", "mmengine, mmcv and mmdet import")]


def check_operators() -> list[Finding]:
    """Which code runs nms and roi_align, and whether it runs."""
    import torch

    backend = op_backend()
    try:
        from mmcv.ops import nms, roi_align

        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.9]])
        _, kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
        pooled = roi_align(torch.ones(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]), 2)
        works = kept.tolist() == [0] and torch.allclose(pooled, torch.ones(1, 1, 2, 2))
    except Exception as error:  # an extension built for another torch raises anything
        return [Finding("operators", "broken", f"{backend.name}: {type(error).__name__}: {first_line(error)}", CURE)]
    if not works:
        return [Finding("operators", "broken", f"{backend.name}: nms or roi_align gives wrong values", CURE)]
    return [Finding("operators", "ok", f"{backend.name}: {backend.reason}")]


def check_masks() -> list[Finding]:
    """Whether pycocotools was built for this numpy."""
    try:
        import numpy as np
        from pycocotools import mask

        area = int(mask.area(mask.encode(np.asfortranarray(np.eye(3, dtype=np.uint8)))))
    except Exception as error:  # a binary mismatch raises ValueError
        detail = f"{type(error).__name__}: {first_line(error)}"
        return [Finding("masks", "broken", detail, "pip install --force-reinstall --no-deps pycocotools")]
    return [Finding("masks", "ok" if area == 3 else "broken", "pycocotools encodes", REINSTALL)]


def check_codecs() -> list[Finding]:
    """What the FFmpeg inside PyAV reads and writes."""
    cure = "pip install --force-reinstall --only-binary av av"
    try:
        import av
    except ImportError as error:
        return [Finding("video", "broken", first_line(error), cure)]
    if not _has_codec("h264", "w"):
        return [Finding("video", "broken", f"av {av.__version__} has no H.264 encoder", cure)]
    missing = [name for name in DECODERS if not _has_codec(name, "r")]
    writes = f"writes H.264 by {av.codec.Codec('h264', 'w').name}"
    reads = f"reads {', '.join(name for name in DECODERS if name not in missing)}"
    if missing:
        return [Finding("video", "note", f"{writes}; {reads}; cannot read {', '.join(missing)}", cure)]
    return [Finding("video", "ok", f"{writes}; {reads}")]


def check_accelerator() -> list[Finding]:
    """What models will run on."""
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return [Finding("GPU", "ok", names)]
    return [Finding("GPU", "ok", f"none; models run on the CPU with {torch.get_num_threads()} threads")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_versions,
    check_torch_version,
    check_rivals,
    check_opencv,
    check_masks,
    check_codecs,
    check_accelerator,
    check_stack,
    check_operators,
)


def examine(checks: Iterable[Callable[[], list[Finding]]] = CHECKS) -> list[Finding]:
    """Run the checks in order; one that raises becomes a broken finding of its name."""
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:
            topic = check.__name__.removeprefix("check_").replace("_", " ")
            findings.append(Finding(topic, "broken", f"{type(error).__name__}: {first_line(error)}", REINSTALL))
    return findings


def installed_version(package: str) -> str | None:
    """Version of a distribution; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or ["(no message)"])[0]


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    import av

    try:
        av.codec.Codec(name, mode)
    except ValueError:  # av.codec.codec.UnknownCodecError
        return False
    return True


def show(findings: Sequence[Finding]) -> None:
    """Print a table and the cures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "note": "yellow", "broken": "red"}
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "", "found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.status, style=colours[finding.status]), finding.topic, Text(finding.detail))
    console.print(table)
    for finding in findings:
        if finding.status != "ok" and finding.cure:
            console.print(Text(f"\n{finding.topic}: {finding.detail}\n  cure: {finding.cure}"), soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `vos-occ-doctor`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="vos-occ-doctor", description="Says what works on this machine.")
    parser.add_argument("--quiet", action="store_true", help="print only what is wrong")
    options = parser.parse_args(arguments)
    findings = examine()
    broken = [finding for finding in findings if finding.status == "broken"]
    if not options.quiet:
        show(findings)
        print(f"\n{'Something essential is broken; see the cures above.' if broken else NEXT}")
    elif broken:
        show(broken)
    return 1 if broken else 0


NEXT = """All is well. Next:
  bash tools/demo.sh                           the embedded demo
  python tools/demo_video.py your_video.mp4    your own video
  bash tools/test.sh                           the tests"""


if __name__ == "__main__":
    sys.exit(main())
