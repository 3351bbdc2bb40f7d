# MaskTrack R-CNN with the bilayer head, small enough to train on two CPU cores: MobileNetV2, FPN of 64 channels.
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.video.masktrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])

channels = 64
num_classes = 1

model = dict(
    type="OccMaskTrackRCNN",
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
            frozen_stages=2,
            norm_cfg=dict(type="BN", requires_grad=False),
            norm_eval=True,
            init_cfg=dict(type="Pretrained", checkpoint="data/mobilenetv2_imagenet.safetensors"),
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
            mask_head=dict(type="BilayerMaskHead", in_channels=channels, gcn_norm="gn", hidden_output=True),
            # order is known here, so a small thing in front counts however little its box overlaps
            mask_targets=dict(occluder="in_front", min_box_iou=0.0),
            mask_losses=dict(
                occluder_mask=0.5, boundary_loss_scale=1.0, hidden_loss="smooth_l1", hidden=2.0, neg_when_empty=True
            ),
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
        type="OccRoITrackHead",
        roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2),
            out_channels=channels,
            featmap_strides=[4, 8, 16, 32],
            finest_scale=32,
        ),
        embed_head=dict(
            type="OccRoIEmbedHead",
            num_fcs=2,
            in_channels=channels,
            fc_out_channels=256,
            roi_feat_size=7,
            similarity="cosine",
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=True,
                ignore_iof_thr=0.5,
            ),
            sampler=dict(type="RandomSampler", num=64, pos_fraction=0.25, neg_pos_ub=3, add_gt_as_proposals=True),
        ),
    ),
    memory=dict(max_tracks=64, retain_frames=30, confirm_after=2),
    association=dict(method="greedy"),
    occlusion=dict(keep_embedding_above=0.5, min_order_score=0.05, min_occluder_share=0.05),
    test_scale=(320, 192),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-4, weight_decay=0.01),
    clip_grad=dict(max_norm=10.0, norm_type=2),
)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=4000, val_interval=10**9)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=150),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=150, end=4000, eta_min_ratio=0.02),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=250, max_keep_ckpts=2),
)
channels_last = True
find_unused_parameters = True  # the backbone has a last convolution that the FPN does not read
custom_hooks = [dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.002, update_buffers=True)]
log_processor = dict(by_epoch=False, window_size=50)
randomness = dict(seed=0)
