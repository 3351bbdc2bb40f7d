# MaskTrack R-CNN R50 with the bilayer head, OVIS; layout in data_ovis.py.
# No such result is published: the paper has CMTrack + BCNet on OVIS (17.1 AP). Detector settings and batch are those of
# the released CMaskTrack R-CNN config for OVIS.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_ovis.py"]

model = dict(
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

# .005 for 16 pairs a step there (4 a GPU on 4)
auto_scale_lr = dict(base_batch_size=16)
