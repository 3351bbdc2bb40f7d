"""The doctor's findings in environments that are broken in one way each."""

from __future__ import annotations

import pytest

from vos_occ import doctor
from vos_occ.compat import backend


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these distributions are installed."""

    def pretend(**versions: str) -> None:
        named = {name.replace("_", "-"): found for name, found in versions.items()}
        monkeypatch.setattr(doctor, "installed_version", named.get)

    return pretend


def statuses(findings: list[doctor.Finding]) -> list[str]:
    return [finding.status for finding in findings]


def test_missing_packages_are_broken_and_name_the_install_command(installed):
    installed(torch="2.13.0", numpy="2.4.6")
    missing = {finding.topic: finding for finding in doctor.check_versions() if finding.status == "broken"}
    assert set(missing) == {"onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "av", "pycocotools"}
    assert "tools/setup.sh" in missing["av"].cure


@pytest.mark.parametrize(
    ("versions", "named"),
    [
        (dict(onedl_mmcv="2.3.6", mmcv="2.1.0"), ["mmcv"]),
        (dict(onedl_mmcv="2.3.6", mmcv_lite="2.1.0"), ["mmcv-lite"]),
        (
            dict(onedl_mmdetection="3.5.1", mmdet="3.3.0", onedl_mmengine="0.10.12", mmengine="0.10.4"),
            ["mmdet", "mmengine"],
        ),
    ],
    ids=["mmcv", "mmcv-lite", "mmdet and mmengine"],
)
def test_official_beside_onedl_is_broken_with_a_cure_that_leaves_onedl(installed, versions, named):
    installed(**versions)
    (finding,) = doctor.check_rivals()
    assert finding.status == "broken"
    removed, added = finding.cure.split("&&")
    assert all(name in removed.split() for name in named)
    ours = {name.replace("_", "-"): found for name, found in versions.items() if name.startswith("onedl")}
    assert sorted(added.split()[3:]) == sorted(f"{name}=={found}" for name, found in ours.items())


def test_onedl_alone_is_well(installed):
    installed(onedl_mmcv="2.3.6", onedl_mmengine="0.10.12", onedl_mmdetection="3.5.1")
    assert statuses(doctor.check_rivals()) == ["ok"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [("2.13.0+cpu", []), ("2.6.0", []), ("2.5.1", ["note"]), ("2.14.0", ["note"]), ("3.0.0a1", ["note"])],
)
def test_torch_outside_the_supported_range_is_noted(installed, found, expected):
    installed(torch=found)
    assert statuses(doctor.check_torch_version()) == expected


def test_opencv_without_libgl_is_broken_and_offers_the_headless_wheel(installed, monkeypatch):
    def fail(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    installed(opencv_python="4.11.0.86", opencv_python_headless="4.11.0.86")
    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    (finding,) = doctor.check_opencv()
    assert finding.status == "broken"
    assert "libGL.so.1" in finding.detail
    assert "--no-deps opencv-python-headless==4.11.0.86" in finding.cure


def test_two_versions_of_opencv_in_one_folder_are_noted(installed):
    installed(opencv_python="4.11.0.86", opencv_python_headless="5.0.0.93")
    assert statuses(doctor.check_opencv()) == ["ok", "note"]


def test_a_stack_that_does_not_import_is_broken(monkeypatch):
    def fail(name: str) -> None:
        raise OSError("undefined symbol: _ZN3c10\nand more")

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    (finding,) = doctor.check_stack()
    assert finding.status == "broken"
    assert finding.detail == "import mmengine.runner: OSError: undefined symbol: _ZN3c10"


def test_video_without_an_h264_encoder_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "_has_codec", lambda name, mode: mode == "r")
    assert statuses(doctor.check_codecs()) == ["broken"]


def test_a_missing_decoder_is_noted(monkeypatch):
    monkeypatch.setattr(doctor, "_has_codec", lambda name, mode: name != "av1")
    (finding,) = doctor.check_codecs()
    assert finding.status == "note"
    assert finding.detail.endswith("cannot read av1")


def test_operators_are_run_and_their_backend_explained():
    (finding,) = doctor.check_operators()
    assert finding.status == "ok"
    assert finding.detail == f"{backend.op_backend().name}: {backend.op_backend().reason}"


def test_a_check_that_crashes_is_a_finding():
    def check_the_weather() -> list[doctor.Finding]:
        raise RuntimeError("no window")

    (finding,) = doctor.examine([check_the_weather])
    assert (finding.topic, finding.status, finding.detail) == ("the weather", "broken", "RuntimeError: no window")


def test_a_broken_finding_needs_a_cure():
    with pytest.raises(ValueError, match="needs a cure"):
        doctor.Finding("numpy", "broken", "gone")


def test_exit_code_is_1_with_cure_when_something_is_broken(monkeypatch, capsys):
    broken = doctor.Finding("libGL", "broken", "not there", "apt install libgl1")
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("numpy", "ok", "2"), broken])
    assert doctor.main(["--quiet"]) == 1
    shown = capsys.readouterr().out
    assert "apt install libgl1" in shown
    assert "numpy" not in shown


def test_this_machine_is_well_and_told_what_to_run_next(capsys):
    assert doctor.main([]) == 0
    assert "bash tools/demo.sh" in capsys.readouterr().out


def test_a_well_machine_is_quiet_when_asked(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("numpy", "ok", "2")])
    assert doctor.main(["--quiet"]) == 0
    assert capsys.readouterr().out == ""
