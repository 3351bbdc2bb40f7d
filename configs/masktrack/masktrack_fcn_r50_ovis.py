# MaskTrack R-CNN R50 as published (its FCN mask head), OVIS; layout in data_ovis.py.
# Published: 10.8 AP on valid, 25.3 AP50, 8.5 AP75, 7.9 AR1, 14.9 AR10 (BCNet, table 11). Its config was not: detector
# settings and batch are those of the released CMaskTrack R-CNN config for OVIS.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_ovis.py"]

model = dict(
    detector=dict(
        rpn_head=dict(loss_bbox=dict(type="SmoothL1Loss", beta=1 / 9)),
        roi_head=dict(
            bbox_head=dict(num_classes=25, loss_bbox=dict(type="SmoothL1Loss", beta=1.0)),
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=25),
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
)

# .005 for 16 pairs a step there (4 a GPU on 4)
auto_scale_lr = dict(base_batch_size=16)
