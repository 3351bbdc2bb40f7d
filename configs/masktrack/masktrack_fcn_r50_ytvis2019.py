# MaskTrack R-CNN R50 as published (its FCN mask head), YouTube-VIS 2019; layout in data_ytvis2019.py.
# Published: 30.3 AP on valid, 51.1 AP50, 32.6 AP75, 31.0 AR1, 35.5 AR10 (paper); 30.2 AP (mmtracking, the best of two
# runs: repeated ones give 28 to 31, so compare heads over several seeds).
# NOT TRAINED HERE: no score of ours stands behind this file.
# On equal weights it equals mmdet's MaskTrackRCNN (tests).
_base_ = ["base_r50.py", "data_ytvis2019.py"]

model = dict(
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=40),
        ),
    ),
)
