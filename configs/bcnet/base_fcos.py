# BCNet on FCOS, ResNet-50 in caffe style, P3 to P7: the released code's model and optimizer.
model = dict(
    type="BilayerFCOS",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[103.53, 116.28, 123.675],  # BGR, not divided: caffe weights
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        base_channels=64,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,  # FREEZE_AT 2: stem and first stage
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        style="caffe",
        init_cfg=dict(type="Pretrained", checkpoint="open-mmlab://detectron2/resnet50_caffe"),
    ),
    neck=dict(
        type="FPN",
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs="on_output",  # P6 from P5
        relu_before_extra_convs=True,
        num_outs=5,
    ),
    bbox_head=dict(
        type="ProposingFCOSHead",
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        strides=[8, 16, 32, 64, 128],
        conv_bias=True,  # as the released weights; mmdet's default has none before a GroupNorm
        center_sampling=True,
        center_sample_radius=1.5,
        norm_on_bbox=True,
        centerness_on_reg=True,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.25),  # the code's; 1 in the paper
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    ),
    roi_head=dict(
        type="MaskOnlyRoIHead",
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8, 16, 32, 64, 128],
            finest_scale=112,  # floor(4 + log2(sqrt(area) / 224)), from P3 on
        ),
        mask_head=dict(type="BilayerMaskHead", in_channels=256),
        mask_targets=dict(occluder="all"),
        max_mask_rois=128,
        train_on_gt_boxes_only=False,  # True: what the released code does, by its bug
    ),
    train_cfg=dict(
        proposals=dict(
            nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100
        ),
        rcnn=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type="RandomSampler", num=512, pos_fraction=1.0, neg_pos_ub=0, add_gt_as_proposals=True),
            mask_size=28,
        ),
    ),
    test_cfg=dict(
        fcos=dict(
            nms_pre=1000, min_bbox_size=0, score_thr=0.03, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100
        ),
        rcnn=dict(mask_thr_binary=0.5),
    ),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4))
