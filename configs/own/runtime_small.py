# Twelve epochs on one CPU core, a checkpoint and a score after each. Shorter: --cfg-options train_cfg.max_epochs=3
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.bilayer", "vos_occ.datasets.amodal", "vos_occ.validation"])
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
param_scheduler = [dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=60)]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
)
randomness = dict(seed=0)
