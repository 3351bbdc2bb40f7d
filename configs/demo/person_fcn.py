# The plain mask head of Mask R-CNN in place of the bilayer head, all else as in person.py: for comparison.
_base_ = ["base_mobilenetv2.py", "data_person.py"]

model = dict(
    detector=dict(
        rpn_head=dict(anchor_generator=dict(ratios=[1.0, 2.0, 3.0])),
        roi_head=dict(
            bbox_head=dict(num_classes=1),
            max_mask_rois=12,
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
    test_scale=(480, 320),
    # its occluder masks stay under one half (docs/experiments.md), so they cannot veto the hidden output
    occlusion=dict(min_occluder_share=0.0),
)
