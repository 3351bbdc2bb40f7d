# Synthetic OVIS, MaskTrack R-CNN with the plain mask head: from ovis_start_single.py,
# on the pairs of ovis_cmtrack_single.py.
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
load_from = "work_dirs/ablation/ovis/start_single_0/iter_1600.pth"
train_dataloader = dict(dataset=dict(frame_range=5))

optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_cfg = dict(max_iters=600)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=60),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=60, end=600, eta_min_ratio=0.01),
]
