# Second stage of the shipped model: from synthetic.py's weights, on larger pictures, for what is nearly hidden.
_base_ = ["base_mobilenetv2.py", "data_synthetic.py"]

model = dict(
    detector=dict(roi_head=dict(bbox_head=dict(num_classes=6), max_mask_rois=12)),
    memory=dict(confirm_after=1),
    test_scale=(448, 270),
)
load_from = "work_dirs/synthetic/iter_4000.pth"

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(240, 400), scale=(0.8, 1.5)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter", strength=0.6),
            dict(type="OccDropSmall"),
        ],
    ),
)

optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_cfg = dict(max_iters=2500)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=100, end=2500, eta_min_ratio=0.01),
]
