# CMTrack R-CNN R50 with the bilayer head, YouTube-VIS 2019; layout in configs/masktrack/data_ytvis2019.py.
# No such result is published. Settings are those of MaskTrack R-CNN.
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
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # YouTube-VIS does not say who lies in front
        ),
    ),
    occlusion=dict(order_known=False),
)

train_dataloader = dict(dataset=dict(frame_range=5))  # annotated frames, as in inference
