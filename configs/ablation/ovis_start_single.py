# Synthetic OVIS, the stage that MaskTrack and CMTrack share: the plain mask head from nothing,
# fast, on the shipped `synthetic` model, whose backbone stays as it is. `tools/run_ablation.py tracking` trains it.
_base_ = ["../demo/base_mobilenetv2.py", "data_ovis.py"]

model = dict(
    detector=dict(
        backbone=dict(frozen_stages=7, init_cfg=None),
        roi_head=dict(
            bbox_head=dict(num_classes=6),
            max_mask_rois=16,
            mask_head=dict(
                _delete_=True,
                type="PlainMaskHead",
                num_convs=4,
                in_channels=64,
                conv_out_channels=64,
                num_classes=1,
                class_agnostic=True,
                hidden_output=True,
            ),
        ),
    ),
    memory=dict(confirm_after=1),
    test_scale=(448, 270),
)
load_from = "work_dirs/ablation/synthetic_without_mask_head.safetensors"

optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={"mask_head": dict(lr_mult=5.0)}),
)
train_cfg = dict(max_iters=1600)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=80),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=80, end=1600, eta_min_ratio=0.01),
]
