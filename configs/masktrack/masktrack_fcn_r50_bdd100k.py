# MaskTrack R-CNN R50 as published (its FCN mask head), BDD100K MOTS; layout in data_bdd100k.py.
# Published: 12.3 mMOTSA on val, 59.9 mMOTSP, 26.2 mIDF1, 9116 ID switches, 22.0 mAP (BCNet, table 12). Its config was
# not: detector settings are those of PCAN's release.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_bdd100k.py"]

model = dict(
    detector=dict(
        roi_head=dict(
            bbox_head=dict(num_classes=8),
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=8),
        ),
        train_cfg=dict(
            rpn=dict(sampler=dict(num=256)),
            rpn_proposal=dict(nms_pre=2000, max_per_img=1000),
            rcnn=dict(sampler=dict(num=512)),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=1000, max_per_img=1000),
            rcnn=dict(score_thr=0.5, max_per_img=100),  # a false positive costs mMOTSA as much as a miss
        ),
    ),
    memory=dict(retain_frames=30),  # the original never forgets; here hundreds of objects pass
    test_scale=(1296, 720),
)

# .005 for 16 pairs a step, as the released CMaskTrack R-CNN has it for OVIS
auto_scale_lr = dict(base_batch_size=16)
