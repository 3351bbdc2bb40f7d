# PCAN R50-FPN with the settings of its release; everything but the stage, the mask head, the classes and the data.
# NOT TRAINED HERE: written from the published settings, tested on random weights, never run to the end.
# The stages, each with a config of its own, and what learns in it:
#   qdtrack  detector without masks, and embedding (QDTrack); shared by both mask heads
#   mask     the mask head alone
#   refine   the refine head alone, which is what was released
#   e2e      everything at once, from the mask stage
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.video.pcan", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])

model = dict(
    type="OccPCAN",
    data_preprocessor=dict(
        type="TrackDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,  # FramePairs and VideoSession give RGB
        pad_mask=True,
        pad_size_divisor=32,
    ),
    detector=dict(
        type="MaskRCNN",
        backbone=dict(
            type="ResNet",
            depth=50,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            frozen_stages=1,
            norm_cfg=dict(type="BN", requires_grad=True),
            norm_eval=True,
            style="pytorch",
        ),
        neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
        rpn_head=dict(
            type="RPNHead",
            in_channels=256,
            feat_channels=256,
            anchor_generator=dict(
                type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
            loss_bbox=dict(type="SmoothL1Loss", beta=1 / 9, loss_weight=1.0),
        ),
        roi_head=dict(
            type="BilayerRoIHead",
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
                out_channels=256,
                featmap_strides=[4, 8, 16, 32],
            ),
            bbox_head=dict(
                type="Shared2FCBBoxHead",
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=8,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
                reg_class_agnostic=False,
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0),
            ),
            mask_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
                out_channels=256,
                featmap_strides=[4, 8, 16, 32],
            ),
        ),
        train_cfg=dict(
            rpn=dict(
                assigner=dict(
                    type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True
                ),
                sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
                allowed_border=-1,
                pos_weight=-1,
            ),
            rpn_proposal=dict(nms_pre=2000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            rcnn=dict(
                assigner=dict(
                    type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
                ),
                sampler=dict(type="RandomSampler", num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
                mask_size=28,
                pos_weight=-1,
            ),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            # QDTrack has .05. At .5 no detection is below the tracker's obj_score, whose rules are then idle
            rcnn=dict(score_thr=0.5, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100, mask_thr_binary=0.5),
        ),
    ),
    track_head=dict(
        type="OccQuasiDenseTrackHead",
        roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32],
        ),
        embed_head=dict(
            type="OccQuasiDenseEmbedHead",
            num_convs=4,
            num_fcs=1,
            embed_channels=256,
            norm_cfg=dict(type="GN", num_groups=32),
            loss_track=dict(type="MultiPositiveLoss", loss_weight=0.25),
            loss_track_aux=dict(
                type="MarginL2Loss", neg_pos_ub=3, pos_margin=0, neg_margin=0.3, hard_mining=True, loss_weight=1.0
            ),
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(
                type="CombinedSampler",
                num=256,
                pos_fraction=0.5,
                neg_pos_ub=3,
                add_gt_as_proposals=True,
                pos_sampler=dict(type="InstanceBalancedPosSampler"),
                neg_sampler=dict(type="IoUBalancedNegSampler", floor_thr=-1, floor_fraction=0, num_bins=3),
            ),
        ),
    ),
    refine_head=dict(type="PrototypeRefineHead", num_pos=10, num_neg=10, iterations=6, kappa=20.0, momentum=0.95),
    frame_attention=dict(
        type="PrototypeAttention", num_prototypes=30, iterations=3, kappa=20.0, levels=(0, 1), share=0.25, momentum=0.5
    ),
    tracker=dict(
        init_score=0.7,
        obj_score=0.3,
        match_score=0.5,
        nms_backdrop_iou=0.3,
        nms_class_iou=0.7,
        with_cats=True,
        retain_frames=10,
        retain_backdrops=1,
        momentum=0.8,
    ),
    test_scale=(1296, 720),
)

# .01 for 8 pairs a step (2 a GPU on 4); the first stage has its own. `auto_scale_lr` multiplies lr by
# (GPUs x batch_size) / base_batch_size, so set `train_dataloader.batch_size` to what fits and leave lr alone. The
# warm-up counts in steps, of which one GPU does four times as many:
#   torchrun --nproc_per_node=4 tools/train.py CONFIG --launcher pytorch
#   python tools/train.py CONFIG --cfg-options param_scheduler.0.end=4000
# Mixed precision: tools/train.py --amp
# Weights of another place: --cfg-options load_from=FILE
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001))
auto_scale_lr = dict(enable=True, base_batch_size=8)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 1000, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=3),
)
randomness = dict(seed=0)
