# YouTube-VIS 2019: 40 classes, 2238 videos to train on, 302 in valid, 343 in test.
# Layout:
#   data/youtube_vis_2019/{train,valid,test}.json
#   data/youtube_vis_2019/{train,valid,test}/JPEGImages/VIDEO/00000.jpg
# The valid and test files have no annotations: hold out training videos to score yourself (docs/ovis.md, "Hold-out").
# Pairs: every annotated frame, and one of at most 100 frames away. The long side of a frame is brought to 640 and the
# short one to at most 360; the rest is filled with grey, so that all pairs of a batch are alike. The original pads with
# black at the right and below, and lets a portrait video be 640 high; here it is 360 high in training.

classes = (
    "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake", "monkey",
    "hand", "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear",
    "motorbike", "giraffe", "leopard", "fox", "deer", "owl", "surfboard", "airplane", "truck", "zebra",
    "tiger", "elephant", "snowboard", "boat", "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket",
)  # fmt: skip
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
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(360, 640), scale=(1.0, 1.0)),
            dict(type="OccRandomFlip", prob=0.5),
        ],
    ),
)
benchmark = "ytvis19"  # tools/test_video.py --split looks for its files in data_root
data_root = "data/youtube_vis_2019"
test_dataset = dict(
    ann_file="data/youtube_vis_2019/valid.json",
    image_root="data/youtube_vis_2019/valid/JPEGImages",
)
