"""The validation loop in two processes, each with a share of the videos, the model wrapped as torchrun's is."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import os
from pathlib import Path

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner

from eval.evaluation import evaluate
from eval.readers.ytvis import YtvisDataset
from vos_occ.checkpoints import mmengine_scheme
from vos_occ.scoring import score_dataset
from vos_occ.structures.errors import InputError
from vos_occ.training import build_runner, read_config
from vos_occ.validation.config import complete_validation
from vos_occ.validation.written import WrittenVideo

PROCESSES = 2


def runner_of(config: Path, work_dir: Path) -> Runner:
    """As `train` makes it."""
    mmengine_scheme.install()
    content = read_config(config)
    content.work_dir, content.experiment_name = str(work_dir), work_dir.name
    content.default_hooks.checkpoint.save_best = None  # which mmengine's hook does in training alone
    complete_validation(content, 1)
    return build_runner(content, config)


def validate(rank: int, meeting: Path, config: Path, results: Path, out: Path) -> None:
    """What one process does: validates all videos, then has the metric score one of the three that it needs."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    runner = runner_of(config, out / f"work_{rank}")
    runner.model = MMDistributedDataParallel(runner.model)
    said = {"metrics": runner.val(), "videos": [video.id for batch in runner.val_dataloader for video in batch]}
    metric = runner.val_evaluator.metrics[0]
    metric.process([], [WrittenVideo.read(1, results)] if rank == 0 else [])
    try:
        metric.evaluate(3)
    except InputError as error:
        said["error"] = str(error)
    (out / f"{rank}.json").write_text(json.dumps(said))
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads race with Python's own end, which then now and then aborts


@pytest.mark.slow
def test_two_processes_score_what_one_does(config: Path, results: Path, truth: YtvisDataset, tmp_path: Path) -> None:
    mp.spawn(validate, (tmp_path / "meeting", config, results, tmp_path), PROCESSES)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(PROCESSES))
    assert (first["videos"], second["videos"]) == ([1, 3], [2, 1]), "one of them twice, so that both have as many"
    expected = {**evaluate("ytvis", truth.path, results / "results.json").summary}
    expected |= {k: v for k, v in score_dataset(truth, results).as_dict().items() if not k.startswith("tube_AP")}
    assert first["metrics"] == second["metrics"] == {f"ytvis/{name}": value for name, value in expected.items()}
    assert "has no results of 2 of 3 videos" in first["error"]
    assert second["error"] == first["error"], "both end, and none waits for the other"
