"""How the backend is chosen, how `mmcv._ext` is answered, and what importing the stack says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types

import pytest

import vos_occ.compat
from vos_occ.compat import backend, ext_module, noise


@pytest.fixture
def fresh_choice():
    backend.op_backend.cache_clear()
    yield
    backend.op_backend.cache_clear()


def run_python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("compiled", "torchvision", "expected"),
    [
        ("/site/mmcv/_ext.so", None, "mmcv"),
        ("/site/mmcv/_ext.so", "it is not installed", "mmcv"),
        (None, None, "torchvision"),
        (None, "RuntimeError: operator torchvision::nms does not exist", "plain"),
    ],
    ids=["compiled mmcv wins", "compiled mmcv alone", "torchvision stands in", "neither"],
)
def test_backend_is_the_fastest_that_works(monkeypatch, fresh_choice, compiled, torchvision, expected):
    monkeypatch.setattr(backend, "compiled_extension", lambda: compiled)
    monkeypatch.setattr(backend, "torchvision_problem", lambda: torchvision)
    chosen = backend.op_backend()
    assert chosen.name == expected
    assert (compiled or torchvision or "torchvision") in chosen.reason


def test_compiled_extension_is_found_by_its_file(monkeypatch, tmp_path):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: types.SimpleNamespace(
        submodule_search_locations=[str(tmp_path / "mmcv")]
    ))  # fmt: skip
    assert backend.compiled_extension() is None
    (tmp_path / "mmcv" / "_ext.py").touch()
    assert backend.compiled_extension() == str(tmp_path / "mmcv" / "_ext.py")


@pytest.mark.parametrize("error", [RuntimeError, OSError, ImportError, AttributeError])
def test_a_broken_torchvision_is_a_reason_and_not_a_crash(monkeypatch, tmp_path, error):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {error.__name__}('built for another torch\\nmore')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert backend.torchvision_problem() == f"{error.__name__}: built for another torch"


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="found 'fastest'"):
        vos_occ.compat.OpBackend("fastest", "")


def test_extension_has_a_real_spec_as_mmengine_asks():
    from mmengine.utils.dl_utils import mmcv_full_available

    assert importlib.util.find_spec("mmcv._ext") is not None
    assert mmcv_full_available()


def test_an_operator_that_nobody_answers_names_itself_and_the_cure():
    module = types.ModuleType(ext_module.EXTENSION)
    ext_module.ExtensionFinder().exec_module(module)
    with pytest.raises(NotImplementedError, match=r"'?deform_roi_pool_forward'?.*pip install .*onedl-mmcv"):
        module.deform_roi_pool_forward(1, weight=2)


def test_extension_does_not_pretend_to_have_special_attributes():
    module = types.ModuleType(ext_module.EXTENSION)
    ext_module.ExtensionFinder().exec_module(module)
    assert not hasattr(module, "__path__")


def test_importing_compat_imports_neither_torch_nor_the_stack():
    code = "import sys, vos_occ.compat; print({'torch', 'mmcv', 'mmdet', 'mmengine', 'torchvision'} & set(sys.modules))"
    assert run_python(code).stdout.strip() == "set()"


@pytest.mark.slow
def test_stack_imports_in_silence_and_says_what_it_must():
    code = (
        "import vos_occ.compat, mmdet.models, mmdet.apis, mmdet.datasets, mmdet.evaluation, mmcv.ops, mmengine.runner\n"
        "import warnings; warnings.warn('a warning of the user')"
    )
    done = run_python(code)
    assert done.stdout == ""
    said = done.stderr.splitlines()  # from Python 3.13 on with the line of code
    assert said and all("a warning of the user" in line for line in said), done.stderr


def test_installing_twice_changes_nothing():
    before = list(sys.meta_path)
    ext_module.install()
    noise.silence()
    assert sys.meta_path == before


def test_only_known_lines_are_taken_out_of_what_a_module_prints(monkeypatch, tmp_path, capsys):
    (tmp_path / "chatty.py").write_text(f"print({noise.PRINTED_LINES[0]!r})\nprint('kept')\nprint('open', end='')")
    monkeypatch.setattr(noise, "PRINTING_MODULES", ("chatty",))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "chatty", raising=False)
    import chatty

    assert capsys.readouterr().out == "kept\nopen"
    assert chatty.__file__ == str(tmp_path / "chatty.py")


def test_an_error_in_a_quiet_module_is_raised(monkeypatch, tmp_path, capsys):
    (tmp_path / "broken.py").write_text("print('before')\nraise KeyError('cause')")
    monkeypatch.setattr(noise, "PRINTING_MODULES", ("broken",))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyError, match="cause"):
        importlib.import_module("broken")
    assert capsys.readouterr().out == "before\n"
