# MaskTrack R-CNN R50 as published (its FCN mask head), YouTube-VIS 2019: the baseline of the bilayer config beside it.
# Published: 30.3 AP; repeated runs give 28 to 31.
# NOT TRAINED HERE: no score of ours stands behind this file. On equal weights it equals mmdet's MaskTrackRCNN (tests).
_base_ = ["base_r50.py"]

classes = (
    "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake", "monkey",
    "hand", "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear",
    "motorbike", "giraffe", "leopard", "fox", "deer", "owl", "surfboard", "airplane", "truck", "zebra",
    "tiger", "elephant", "snowboard", "boat", "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket",
)  # fmt: skip
model = dict(
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=40),
        )
    ),
)

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        frame_range=100,
        sources=[
            dict(
                type="YtvisFrames",
                ann_file="data/youtube_vis_2019/train.json",
                image_root="data/youtube_vis_2019/train/JPEGImages",
            )
        ],
        pipeline={{_base_.train_pipeline}},
    ),
)
test_dataset = dict(
    ann_file="data/youtube_vis_2019/valid.json",
    image_root="data/youtube_vis_2019/valid/JPEGImages",
)
