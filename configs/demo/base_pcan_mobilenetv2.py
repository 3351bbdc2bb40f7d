# PCAN, small enough to train on two CPU cores: the layers of base_mobilenetv2.py, whose trained weights it begins with
# (backbone, FPN, RPN; the backbone stays as it is), for the eight classes of the synthetic BDD100K.
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.video.pcan", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])

channels = 64
num_classes = 8

model = dict(
    type="OccPCAN",
    data_preprocessor=dict(
        type="TrackDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    detector=dict(
        type="MaskRCNN",
        backbone=dict(
            type="MobileNetV2",
            out_indices=(1, 2, 4, 6),
            frozen_stages=7,
            norm_cfg=dict(type="BN", requires_grad=False),
            norm_eval=True,
        ),
        neck=dict(type="FPN", in_channels=[24, 32, 96, 320], out_channels=channels, num_outs=5),
        rpn_head=dict(
            type="RPNHead",
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        ),
        roi_head=dict(
            type="BilayerRoIHead",
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2),
                out_channels=channels,
                featmap_strides=[4, 8, 16, 32],
                finest_scale=32,
            ),
            bbox_head=dict(
                type="Shared2FCBBoxHead",
                in_channels=channels,
                fc_out_channels=256,
                roi_feat_size=7,
                num_classes=num_classes,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
                reg_class_agnostic=True,
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="L1Loss", loss_weight=1.0),
            ),
            mask_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2),
                out_channels=channels,
                featmap_strides=[4, 8, 16, 32],
                finest_scale=32,
            ),
            mask_head=dict(type="BilayerMaskHead", in_channels=channels, gcn_norm="gn"),
            mask_targets=dict(occluder="all"),  # BDD100K does not say who lies in front
            mask_losses=dict(occluder_mask=0.5, boundary_loss_scale=1.0, neg_when_empty=True),
            max_mask_rois=16,
        ),
        train_cfg=dict(
            rpn=dict(
                assigner=dict(
                    type="MaxIoUAssigner",
                    pos_iou_thr=0.7,
                    neg_iou_thr=0.3,
                    min_pos_iou=0.3,
                    match_low_quality=True,
                    ignore_iof_thr=0.5,
                ),
                sampler=dict(type="RandomSampler", num=128, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
                allowed_border=-1,
                pos_weight=-1,
            ),
            rpn_proposal=dict(nms_pre=400, max_per_img=100, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            rcnn=dict(
                assigner=dict(
                    type="MaxIoUAssigner",
                    pos_iou_thr=0.5,
                    neg_iou_thr=0.5,
                    min_pos_iou=0.5,
                    match_low_quality=True,
                    ignore_iof_thr=0.5,
                ),
                sampler=dict(type="RandomSampler", num=64, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
                mask_size=28,
                pos_weight=-1,
            ),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=300, max_per_img=100, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            rcnn=dict(
                score_thr=0.3,
                # boxes of things behind each other overlap much: .5 would drop the hidden one
                nms=dict(type="nms", iou_threshold=0.6, class_agnostic=True),
                max_per_img=30,
                mask_thr_binary=0.5,
            ),
        ),
    ),
    track_head=dict(
        type="OccQuasiDenseTrackHead",
        roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2),
            out_channels=channels,
            featmap_strides=[4, 8, 16, 32],
            finest_scale=32,
        ),
        embed_head=dict(
            type="OccQuasiDenseEmbedHead",
            num_convs=2,
            num_fcs=1,
            in_channels=channels,
            conv_out_channels=channels,
            fc_out_channels=256,
            embed_channels=128,
            norm_cfg=dict(type="GN", num_groups=8),
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=0.5,
            ),
            sampler=dict(
                type="CombinedSampler",
                num=64,
                pos_fraction=0.5,
                neg_pos_ub=3,
                add_gt_as_proposals=True,
                pos_sampler=dict(type="InstanceBalancedPosSampler"),
                neg_sampler=dict(type="IoUBalancedNegSampler", floor_thr=0, floor_fraction=0, num_bins=3),
            ),
        ),
    ),
    refine_head=dict(type="PrototypeRefineHead", in_channels=channels, conv_channels=channels),
    frame_attention=dict(type="PrototypeAttention", channels=channels),
    tracker=dict(init_score=0.5, max_tracks=64),  # scores of short trainings are low
    occlusion=dict(min_occluder_share=0.05),
    test_scale=(320, 192),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-4, weight_decay=0.01),
    clip_grad=dict(max_norm=10.0, norm_type=2),
)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=400, val_interval=10**9)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=40),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=40, end=400, eta_min_ratio=0.01),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=200, max_keep_ckpts=1),
)
channels_last = True
find_unused_parameters = True  # the backbone has a last convolution that the FPN does not read
log_processor = dict(by_epoch=False, window_size=20)
randomness = dict(seed=0)
