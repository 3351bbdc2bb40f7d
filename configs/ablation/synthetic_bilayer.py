# End to end on the synthetic world, bilayer GCN head: from the shipped `synthetic` model without its mask head.
# `tools/run_ablation.py` trains it beside synthetic_single.py, three seeds each.
_base_ = ["../demo/base_mobilenetv2.py", "../demo/data_synthetic.py"]

model = dict(
    detector=dict(roi_head=dict(bbox_head=dict(num_classes=6), max_mask_rois=12)),
    memory=dict(confirm_after=1),
    test_scale=(448, 270),
)
load_from = "work_dirs/ablation/synthetic_without_mask_head.safetensors"

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

train_cfg = dict(max_iters=1000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=100, end=1000, eta_min_ratio=0.01),
]
