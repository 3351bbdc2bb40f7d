# End to end on Penn-Fudan and COCO128, bilayer GCN head: from the shipped `person` model without its mask head.
# `tools/run_ablation.py` trains it beside person_single.py, three seeds each.
_base_ = ["../demo/base_mobilenetv2.py", "../demo/data_person.py"]

model = dict(
    detector=dict(
        rpn_head=dict(anchor_generator=dict(ratios=[1.0, 2.0, 3.0])),
        roi_head=dict(
            bbox_head=dict(num_classes=1),
            max_mask_rois=14,
            mask_losses=dict(occluder_mask=1.0, hidden_loss="bce", hidden=1.0),
        ),
    ),
    test_scale=(560, 374),
    occlusion=dict(min_occluder_share=0.0),
)
load_from = "work_dirs/ablation/person_without_mask_head.safetensors"

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

train_cfg = dict(max_iters=800)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=100, end=800, eta_min_ratio=0.01),
]
