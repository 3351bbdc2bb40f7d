"""mmengine's own ways to weights (load_from, resume, init_cfg, URLs) go through our loader."""

from __future__ import annotations

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import vos_occ.compat  # noqa: F401  (before any mm* import)

from mmengine.logging import HistoryBuffer  # isort: skip
from mmengine.model import BaseModel, BaseModule, PretrainedInit  # isort: skip
from mmengine.runner import Runner, checkpoint as mmengine_checkpoint  # isort: skip
from mmengine.runner.checkpoint import CheckpointLoader  # isort: skip
from vos_occ.checkpoints import mmengine_scheme, save_checkpoint, trust_checkpoints
from vos_occ.structures.errors import CheckpointError


class RunsCode:
    """Unpickled without restriction, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


class Lists(Dataset):
    metainfo = {"classes": ("cat",), "palette": [(1, 2, 3)]}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        return {"x": torch.full((2,), float(index))}


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x, mode="loss"):
        return {"loss": self.layer(torch.stack(x)).mean()}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Our loaders in place, and the unrestricted one gone: a path that reaches it fails."""

    def unreachable(*args, **kwargs):
        raise AssertionError("mmengine's own loading was reached")

    monkeypatch.setattr(mmengine_checkpoint, "_safe_torch_load", unreachable)
    monkeypatch.setattr(mmengine_checkpoint, "load_url", unreachable)
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    mmengine_scheme.install()


@pytest.fixture
def evil(tmp_path) -> Path:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"weight": torch.ones(1, 2)}, "meta": RunsCode(tmp_path / "made")}, path)
    return path


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder served on the loopback interface; (folder, address). The hub's cache is in tmp_path too."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def runner(folder: Path, **options) -> Runner:
    return Runner(
        Model(),
        str(folder),
        train_dataloader={"dataset": Lists(), "batch_size": 2, "sampler": {"type": "DefaultSampler", "shuffle": False}},
        train_cfg={"by_epoch": True, "max_epochs": options.pop("max_epochs", 1)},
        optim_wrapper={"optimizer": {"type": "AdamW", "lr": 0.01}},
        param_scheduler=[{"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 4}],
        default_scope="mmengine",
        log_level="ERROR",
        experiment_name=folder.name,
        **options,
    )


def test_every_scheme_of_mmengine_is_ours():
    assert {loader.__module__ for loader in CheckpointLoader._schemes.values()} == {mmengine_scheme.__name__}


def test_a_training_checkpoint_of_mmengines_runner_is_resumed(tmp_path):
    first = runner(tmp_path / "first")
    first.train()
    path = str(tmp_path / "first" / "epoch_1.pth")

    loaded = mmengine_checkpoint._load_checkpoint(path, map_location="cpu")
    losses = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(losses, HistoryBuffer)
    assert losses.statistics("mean") == pytest.approx(first.message_hub.get_scalar("train/loss").mean())

    second = runner(tmp_path / "second", max_epochs=2, load_from=path, resume=True)
    second.train()
    assert (second.epoch, second.iter) == (2, 4)
    assert second.optim_wrapper.optimizer.state_dict()["state"][0]["step"] == 4
    assert len(second.message_hub.get_scalar("train/loss").data[0]) == 4


def test_load_from_takes_our_safetensors(tmp_path):
    weights = {"layer.weight": torch.full((1, 2), 3.0), "layer.bias": torch.zeros(1)}
    path = save_checkpoint(tmp_path / "m.safetensors", weights, "x = 1", ["cat"])
    trained = runner(tmp_path / "work", load_from=str(path))
    trained.load_or_resume()
    assert trained.model.layer.weight.tolist() == [[3.0, 3.0]]


def test_load_from_refuses_a_malicious_file(tmp_path, evil):
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        runner(tmp_path / "work", load_from=str(evil)).load_or_resume()
    assert not (tmp_path / "made").exists()


def test_init_cfg_loads_and_refuses_through_ours(tmp_path, evil):
    class Layer(BaseModule):
        def __init__(self, checkpoint: Path) -> None:
            super().__init__(init_cfg={"type": "Pretrained", "checkpoint": str(checkpoint)})
            self.weight = nn.Parameter(torch.zeros(1, 2))

    path = tmp_path / "good.pth"
    torch.save({"state_dict": {"weight": torch.ones(1, 2)}}, path)
    good = Layer(path)
    good.init_weights()
    assert good.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(CheckpointError, match="mkdir"):
        Layer(evil).init_weights()
    assert not (tmp_path / "made").exists()


def test_trust_reaches_mmengines_loading(tmp_path, evil):
    with trust_checkpoints():
        assert "state_dict" in mmengine_checkpoint._load_checkpoint(str(evil))
    assert (tmp_path / "made").exists()


def test_a_prefixed_part_is_initialised_from_a_download(served):
    folder, address = served
    torch.save({"backbone.weight": torch.full((1, 2), 5.0), "head.weight": torch.ones(1)}, folder / "net-1.pth")
    part = nn.Linear(2, 1, bias=False)
    PretrainedInit(checkpoint=f"{address}/net-1.pth", prefix="backbone.")(part)
    assert part.weight.tolist() == [[5.0, 5.0]]


def test_downloads_are_cached_and_refused_like_files(served, evil, tmp_path):
    folder, address = served
    (folder / "evil.pth").write_bytes(evil.read_bytes())
    torch.save({"w": torch.ones(1)}, folder / "good.pth")
    assert mmengine_checkpoint._load_checkpoint(f"{address}/good.pth")["w"] == 1
    (folder / "good.pth").unlink()
    assert mmengine_checkpoint._load_checkpoint(f"{address}/good.pth")["w"] == 1, "from the cache"
    with pytest.raises(CheckpointError, match="mkdir"):
        mmengine_checkpoint._load_checkpoint(f"{address}/evil.pth")
    assert not (tmp_path / "made").exists()


def test_a_failed_download_says_where_to_put_the_file(served, tmp_path):
    with pytest.raises(CheckpointError, match=r"404.*by hand into .*nothing\.pth"):
        mmengine_checkpoint._load_checkpoint(f"{served[1]}/nothing.pth")
    assert not (tmp_path / "hub" / "checkpoints" / "nothing.pth").exists()


@pytest.mark.parametrize("scheme", ["torchvision", "modelzoo", "open-mmlab", "openmmlab", "mmcls"])
def test_named_models_are_downloaded_by_us(scheme, monkeypatch):
    name = {"torchvision": "resnet50", "modelzoo": "resnet50", "mmcls": "vgg11"}.get(
        scheme, "detectron2/resnet50_caffe"
    )
    asked = []

    def download(url, map_location):
        asked.append(url)
        return {"state_dict": {"backbone.w": torch.ones(1)}}

    monkeypatch.setattr(mmengine_scheme, "load_from_http", download)
    loaded = mmengine_checkpoint._load_checkpoint(f"{scheme}://{name}")
    assert asked[0].startswith("https://") and asked[0].endswith(".pth")
    assert list(loaded["state_dict"]) == (["w"] if scheme == "mmcls" else ["backbone.w"])


@pytest.mark.parametrize(
    "name, message",
    [
        ("open-mmlab://no_such_net", "not among the"),
        ("mmcls://no_such_net", "not among the"),
        ("pavi://model", "not supported"),
        ("nowhere.pth", "No checkpoint at nowhere.pth"),
    ],
)
def test_unknown_names_are_refused_in_one_line(name, message):
    with pytest.raises(CheckpointError, match=message):
        mmengine_checkpoint._load_checkpoint(name)


def test_weights_that_come_with_the_package_have_a_scheme_of_their_own() -> None:
    mmengine_scheme.install()
    found = CheckpointLoader.load_checkpoint("vos_occ://person", map_location="cpu")["state_dict"]
    assert any(name.startswith("detector.neck.") for name in found)
    with pytest.raises(CheckpointError, match=r"No checkpoint at .*absent\.safetensors"):
        CheckpointLoader.load_checkpoint("vos_occ://absent", map_location="cpu")
