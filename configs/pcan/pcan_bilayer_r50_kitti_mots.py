# PCAN R50 with the bilayer head, KITTI MOTS, end to end; layout in masktrack/data_kitti_mots.py.
# All frames have masks, so that nothing calls for stages; it begins from COCO.
# No such result is published. Settings are those for BDD100K, at KITTI's size.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_kitti_mots.py"]

model = dict(
    stage="e2e",
    detector=dict(
        # COCO start. Not `load_from`: the names in this file lack the prefix `detector.`
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://mmassets.onedl.ai/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth",  # noqa: E501
        ),
        roi_head=dict(
            bbox_head=dict(num_classes=2),
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # KITTI MOTS does not say who lies in front
        ),
    ),
    occlusion=dict(order_known=False),
    test_scale=(1248, 384),
)
