# People: Penn-Fudan (first 136 images), the persons of COCO128, and copy-paste of them.
_base_ = ["base_mobilenetv2.py", "data_person.py"]

model = dict(
    detector=dict(
        rpn_head=dict(anchor_generator=dict(ratios=[1.0, 2.0, 3.0])),
        roi_head=dict(
            bbox_head=dict(num_classes=1),
            max_mask_rois=12,
        ),
    ),
    test_scale=(480, 320),
    # its occluder masks stay under one half (docs/experiments.md), so they cannot veto the hidden output
    occlusion=dict(min_occluder_share=0.0),
)
