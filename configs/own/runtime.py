# Twelve epochs, a checkpoint and a score after each. The learning rate is for 16 images a step and follows the batch
# size by itself: GPUs x train_dataloader.batch_size / 16.
# Shorter: --cfg-options train_cfg.max_epochs=6 param_scheduler.1.milestones=[4,5]
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.bilayer", "vos_occ.datasets.amodal", "vos_occ.validation"])
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=16)
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
)
randomness = dict(seed=0)
