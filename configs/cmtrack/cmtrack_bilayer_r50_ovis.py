# CMTrack R-CNN R50 with the bilayer head, OVIS; layout in configs/masktrack/data_ovis.py.
# Published: 17.1 AP on valid, 35.8 AP50, 14.2 AP75, 10.9 AR1, 21.3 AR10 (BCNet, table 11). Settings are those of the
# released CMaskTrack R-CNN config.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["../masktrack/base_r50.py", "../masktrack/data_ovis.py"]

custom_imports = dict(imports=["vos_occ.models.video.cmtrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])
model = dict(
    type="OccCMTrackRCNN",
    reach=5,
    # shifts -16, -14, ..., 16; the released weights are for patch_size 16, whose shifts are odd
    calibration=dict(type="TemporalCalibration", channels=256, patch_size=17),
    detector=dict(
        rpn_head=dict(loss_bbox=dict(type="SmoothL1Loss", beta=1 / 9)),
        roi_head=dict(
            bbox_head=dict(num_classes=25, loss_bbox=dict(type="SmoothL1Loss", beta=1.0)),
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # OVIS says how much is hidden in words, not by whom
        ),
        train_cfg=dict(
            rpn=dict(sampler=dict(num=256), allowed_border=0),
            rpn_proposal=dict(nms_pre=1000, max_per_img=1000),
            rcnn=dict(sampler=dict(num=512)),
        ),
        test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=1000), rcnn=dict(max_per_img=100)),
    ),
    track_head=dict(
        embed_head=dict(init_cfg=dict(type="Normal", layer="Linear", std=0.01)),
        train_cfg=dict(sampler=dict(num=512)),  # as many as the box head, with which it shares its sample there
    ),
    occlusion=dict(order_known=False),
)

train_dataloader = dict(dataset=dict(frame_range=5))  # annotated frames, as in inference
# .005 for 16 pairs a step there (4 a GPU on 4)
auto_scale_lr = dict(base_batch_size=16)
