# CMTrack R-CNN R50 as published (its FCN mask head), YouTube-VIS 2019; layout in configs/masktrack/data_ytvis2019.py.
# Published: 32.1 AP on valid (CMaskTrack R-CNN's paper). Its config was not: settings are those of MaskTrack R-CNN.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["../masktrack/base_r50.py", "../masktrack/data_ytvis2019.py"]

custom_imports = dict(imports=["vos_occ.models.video.cmtrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])
model = dict(
    type="OccCMTrackRCNN",
    reach=5,
    # shifts -16, -14, ..., 16; the released weights are for patch_size 16, whose shifts are odd
    calibration=dict(type="TemporalCalibration", channels=256, patch_size=17),
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=40),
        ),
    ),
)

train_dataloader = dict(dataset=dict(frame_range=5))  # annotated frames, as in inference
