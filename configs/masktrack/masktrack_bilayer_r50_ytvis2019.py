# MaskTrack R-CNN R50 with the bilayer head, YouTube-VIS 2019; layout in data_ytvis2019.py.
# Published: 32.4 AP on valid, 53.9 AP50, 34.0 AP75, 33.9 AR1, 39.1 AR10 (BCNet, table 10).
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_ytvis2019.py"]

model = dict(
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # YouTube-VIS does not say who lies in front
        ),
    ),
    occlusion=dict(order_known=False),
)
