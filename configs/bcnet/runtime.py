# What every recipe of this folder has in common.
# NOT TRAINED HERE: the recipes are written from the paper and the released code; each is built at full size and trained
# for two steps at an eighth of its width by the tests, none was run to the end.
#
# Learning rates are for the batch size of `auto_scale_lr`, that of 8 GPUs. On fewer, leave lr alone: it is multiplied
# by GPUs x train_dataloader.batch_size / base_batch_size. The number of steps is not: with n times fewer images a step,
# train n times longer. One GPU instead of eight, of a 1x schedule:
#   --cfg-options train_cfg.max_iters=720000 param_scheduler.1.milestones=[480000,640000] param_scheduler.0.end=8000
# Mixed precision: --amp (or --amp bfloat16)
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.bilayer", "vos_occ.datasets.amodal", "vos_occ.validation"])
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=5000, max_keep_ckpts=3),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=41965809)  # the released code's
