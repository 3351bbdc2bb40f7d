# MaskTrack R-CNN R50 with the bilayer head, YouTube-VIS 2022; layout in data_ytvis2022.py.
# No such result is published. It is the model of 2021: one training serves both.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_ytvis2022.py"]

model = dict(
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # YouTube-VIS does not say who lies in front
        ),
    ),
    occlusion=dict(order_known=False),
)
