"""A training of seconds: five steps of the tiny model on two videos of the synthetic world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vos_occ.datasets.synthetic import write_dataset
from vos_occ.training import train

SCHEDULE = """
model["detector"]["train_cfg"]["rpn"]["allowed_border"] = -1
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.video.masktrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        sources=[dict(type="YtvisFrames", ann_file="{root}/annotations_ytvis.json", image_root="{root}/frames")],
        pipeline=[dict(type="OccRandomScaleCrop", size=(96, 160)), dict(type="OccRandomFlip")],
    ),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3))
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=4)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=5, val_interval=10**9)
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=1),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=1),
)
custom_hooks = [dict(type="EMAHook", ema_type="ExpMomentumEMA", update_buffers=True)]
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
"""


@pytest.fixture(scope="session")
def config(tiny_config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file; each step is logged and saved."""
    root = tmp_path_factory.mktemp("training")
    write_dataset(root, "train", (0, 1), image_format="png", height=96, width=160, num_frames=4)
    path = root / "tiny_train.py"
    path.write_text(tiny_config_file.read_text() + SCHEDULE.replace("{root}", str(root)))
    return path


@pytest.fixture(scope="session")
def run(config: Path) -> Callable[..., Path]:
    """`run(work_dir, "key=value", seed=1)`: a training with a name of its own; answers with its folder.

    mmengine gives two runs of one name and second one log.
    """

    def run(work_dir: Path, *options: str, **arguments: Any) -> Path:
        return train(config, work_dir=work_dir, options=[f"experiment_name={work_dir.name}", *options], **arguments)

    return run
