# MaskTrack R-CNN R50 as published (its FCN mask head), YouTube-VIS 2021; layout in data_ytvis2021.py.
# Published: 28.7 AP on valid (mmtracking, the best of two runs).
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_ytvis2021.py"]

model = dict(
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=40),
        ),
    ),
)
