# Second stage of the shipped model: from person.py without its mask head, larger pictures, more occlusion.
_base_ = ["base_mobilenetv2.py", "data_person.py"]

model = dict(
    detector=dict(
        rpn_head=dict(anchor_generator=dict(ratios=[1.0, 2.0, 3.0])),
        roi_head=dict(
            bbox_head=dict(num_classes=1),
            max_mask_rois=14,
            # cross-entropy: with most people unoccluded, smooth L1 on the sigmoid settles at 0 and stays there
            mask_losses=dict(occluder_mask=1.0, hidden_loss="bce", hidden=1.0),
        ),
    ),
    test_scale=(560, 374),
    # its occluder masks stay under one half (docs/experiments.md), so they cannot veto the hidden output
    occlusion=dict(min_occluder_share=0.0),
)
load_from = "work_dirs/person/without_mask_head.safetensors"

train_dataloader = dict(
    dataset=dict(
        copy_paste=dict(prob=0.95, max_objects=3),
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(352, 384), scale=(0.7, 1.6)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter"),
            dict(type="OccDropSmall", min_area=64, min_side=6),
        ],
    ),
)

optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_iters=2200)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=100, end=2200, eta_min_ratio=0.01),
]
