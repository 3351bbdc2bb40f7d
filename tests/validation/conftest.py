"""The shipped model of the synthetic world, trained on for two steps, with videos to validate on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.readers.ytvis import YtvisDataset, read_ytvis
from vos_occ.datasets.synthetic import write_dataset
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.load import load
from vos_occ.training import train

CONFIGS, WEIGHTS = (Path(__file__).parents[2] / folder for folder in ("configs/demo", "vos_occ/weights"))

CHANGES = """
_base_ = ["{configs}/base_mobilenetv2.py", "{configs}/data_synthetic.py"]
model = dict(
    detector=dict(backbone=dict(init_cfg=None), roi_head=dict(bbox_head=dict(num_classes=6))),
    memory=dict(confirm_after=1),
)
load_from = "{weights}/synthetic.safetensors"
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        sources=[dict(type="YtvisFrames", ann_file="{root}/annotations_ytvis.json", image_root="{root}/frames")],
        pipeline=[dict(type="OccRandomScaleCrop", size=(96, 160))],
    ),
)
test_dataset = dict(ann_file="{root}/annotations_ytvis.json", image_root="{root}/frames")
train_cfg = dict(max_iters=2)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
channels_last = False  # a layout that checkpoints do not keep: sums would come out in another order
custom_hooks = [dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.5, gamma=1, update_buffers=True)]
"""


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of three frames: annotations_ytvis.json, annotations_coco.json and frames/."""
    folder = tmp_path_factory.mktemp("validation")
    write_dataset(folder, "train", (0, 1, 2), image_format="png", height=96, width=160, num_frames=3)
    return folder


@pytest.fixture(scope="session")
def truth(root: Path) -> YtvisDataset:
    return read_ytvis(root / "annotations_ytvis.json")


@pytest.fixture(scope="session")
def config(root: Path) -> Path:
    """A config that names a `test_dataset` and says nothing of validation."""
    path = root / "config.py"
    path.write_text(CHANGES.format(configs=CONFIGS, weights=WEIGHTS, root=root))
    return path


@pytest.fixture(scope="session")
def run(config: Path) -> Callable[..., Path]:
    """`run(work_dir, "key=value", validate=1)`: two steps of training; answers with the work dir."""

    def run(work_dir: Path, *options: str, **arguments: Any) -> Path:
        """mmengine gives two runs of one name and second one log, hence a name for each."""
        return train(config, work_dir=work_dir, options=[f"experiment_name={work_dir.name}", *options], **arguments)

    return run


@pytest.fixture(scope="session")
def results(truth: YtvisDataset, root: Path, tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    """What `tools/test_video.py` writes for the weights that training starts from."""
    out = tmp_path_factory.mktemp("results")
    run_dataset(load(WEIGHTS / "synthetic.safetensors", config=config, fuse=False), truth, root / "frames", out)
    return out
