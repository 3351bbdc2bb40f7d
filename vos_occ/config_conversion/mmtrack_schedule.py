"""Optimizer, learning rate, epochs and hooks of an mmcv 1.x runner, as mmengine's Runner takes them."""

from __future__ import annotations

from typing import Any

from vos_occ.config_conversion.section import Section

UNUSED = {
    "dist_params": "torchrun and mmengine choose backend and port",
    "workflow": "validation is tools/train.py --validate N",
    "evaluation": "validation is tools/train.py --validate N, scores come from tools/test_video.py",
    "resume_from": "resuming is tools/train.py --resume",
    "log_level": "it is INFO",
    "cudnn_benchmark": "it is left to torch",
    "opencv_num_threads": "it is left to OpenCV",
    "mp_start_method": "it is left to torch",
}


def convert_schedule(config: Section) -> dict[str, Any]:
    """Takes all that is about training out of a config's top level."""
    epochs = _epochs(config)
    optimizer, options = config.section("optimizer"), config.section("optimizer_config")
    wrapper: dict[str, Any] = {"type": "OptimWrapper"}
    if "fp16" in config:
        half = config.section("fp16")
        wrapper = {"type": "AmpOptimWrapper", "loss_scale": half.take("loss_scale", "dynamic")}
        half.close()
    paramwise = optimizer.take("paramwise_cfg")
    wrapper["optimizer"] = {
        name: optimizer.take(name)
        for name in ("type", "lr", "momentum", "weight_decay", "betas", "eps", "nesterov", "amsgrad")
        if name in optimizer
    }
    optimizer.close()
    if paramwise:
        wrapper["paramwise_cfg"] = paramwise
    if clip := options.take("grad_clip"):
        wrapper["clip_grad"] = clip
    options.close()
    entries = {
        "optim_wrapper": wrapper,
        "param_scheduler": _learning_rate(config.section("lr_config"), epochs),
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": epochs},
        "default_hooks": _hooks(config),
    }
    if load_from := config.take("load_from"):
        entries["load_from"] = load_from
        config.conversion.note(f"load_from: convert {load_from} with tools/convert_checkpoint.py --from mmtrack first.")
    for name, why in UNUSED.items():
        if name in config:
            config.conversion.leave_out(name, config.take(name), why)
    config.conversion.note("The learning rate is taken as it is: mmtrack's are for 8 GPUs.")
    return entries


def _epochs(config: Section) -> int:
    epochs = config.take("total_epochs")
    runner = config.section("runner")
    if "type" in runner:
        runner.kind("EpochBasedRunner")
        epochs = runner.take("max_epochs", epochs)
    runner.close()
    if epochs is None:
        config.conversion.leave_out("total_epochs", None, "the config does not say how long to train; 12 was taken")
    return 12 if epochs is None else int(epochs)


def _learning_rate(policy: Section, epochs: int) -> list[dict[str, Any]]:
    """Warm-up in steps, then steps in epochs."""
    schedulers: list[dict[str, Any]] = []
    warmup = policy.take("warmup")
    if warmup in ("linear", "constant"):
        ratio, iterations = policy.take("warmup_ratio", 0.1), policy.take("warmup_iters", 0)
        kind, name = ("LinearLR", "start_factor") if warmup == "linear" else ("ConstantLR", "factor")
        schedulers.append({"type": kind, name: ratio, "by_epoch": False, "begin": 0, "end": iterations})
    elif warmup is not None:
        policy.conversion.leave_out(policy.place("warmup"), warmup, "linear and constant are converted")
    policy.expect("by_epoch", True, why="steps are epochs")
    if policy.take("policy", "step") != "step":
        policy.refuse("only the policy `step` is converted; the rate stays as it is")
        return schedulers
    steps, gamma = policy.take("step", []), policy.take("gamma", 0.1)
    milestones = list(steps) if isinstance(steps, list | tuple) else list(range(steps, epochs, steps))
    policy.close()
    step = {"type": "MultiStepLR", "by_epoch": True, "begin": 0, "end": epochs}
    return [*schedulers, {**step, "milestones": milestones, "gamma": gamma}]


def _hooks(config: Section) -> dict[str, Any]:
    checkpoints, log = config.section("checkpoint_config"), config.section("log_config")
    hooks = {
        "logger": {"type": "LoggerHook", "interval": log.take("interval", 50)},
        "checkpoint": {
            "type": "CheckpointHook",
            "interval": checkpoints.take("interval", 1),
            **({"max_keep_ckpts": checkpoints.take("max_keep_ckpts")} if "max_keep_ckpts" in checkpoints else {}),
        },
    }
    for hook in log.take("hooks", []):
        if hook.get("type") != "TextLoggerHook":
            log.conversion.leave_out(log.place("hooks"), hook, "the log is text and JSON lines")
    checkpoints.close()
    log.close()
    return hooks
