# BCNet on FCOS for two CPU cores: MobileNetV2, from the shipped person model, and heads of 64 channels.
channels = 64

model = dict(
    type="BilayerFCOS",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="MobileNetV2",
        out_indices=(1, 2, 4, 6),
        frozen_stages=2,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="vos_occ://person", prefix="detector.backbone"),
    ),
    neck=dict(
        type="FPN",
        in_channels=[24, 32, 96, 320],
        out_channels=channels,
        start_level=1,
        add_extra_convs="on_output",
        relu_before_extra_convs=True,
        num_outs=5,
    ),
    bbox_head=dict(
        type="ProposingFCOSHead",
        num_classes=80,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        strides=[8, 16, 32, 64, 128],
        conv_bias=True,
        center_sampling=True,
        center_sample_radius=1.5,
        norm_on_bbox=True,
        centerness_on_reg=True,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.25),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    ),
    roi_head=dict(
        type="MaskOnlyRoIHead",
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2),
            out_channels=channels,
            featmap_strides=[8, 16, 32, 64, 128],
            finest_scale=56,
        ),
        mask_head=dict(type="BilayerMaskHead", in_channels=channels, gcn_norm="gn"),
        mask_targets=dict(occluder="all"),
        max_mask_rois=16,
    ),
    train_cfg=dict(
        proposals=dict(
            nms_pre=400, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=50
        ),
        rcnn=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type="RandomSampler", num=64, pos_fraction=1.0, neg_pos_ub=0, add_gt_as_proposals=True),
            mask_size=28,
        ),
    ),
    test_cfg=dict(
        fcos=dict(
            nms_pre=300, min_bbox_size=0, score_thr=0.03, nms=dict(type="nms", iou_threshold=0.6), max_per_img=50
        ),
        rcnn=dict(mask_thr_binary=0.5),
    ),
)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-4, weight_decay=0.01),
    clip_grad=dict(max_norm=10.0, norm_type=2),
)
find_unused_parameters = True  # the backbone has a last convolution that the FPN does not read
