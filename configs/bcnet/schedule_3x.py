# The 3x schedule of the paper: 16 images a step (8 GPUs x 2), warm-up over 1000 steps.
train_cfg = dict(type="IterBasedTrainLoop", max_iters=270000, val_interval=270000)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=270000, milestones=[210000, 250000], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=16)
