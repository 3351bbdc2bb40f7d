# YouTube-VIS 2021: 40 classes (not those of 2019), 2985 videos to train on, 421 in valid, 453 in test.
# Layout:
#   data/youtube_vis_2021/{train,valid,test}/instances.json
#   data/youtube_vis_2021/{train,valid,test}/JPEGImages/VIDEO/00000.jpg
# The valid and test files have no annotations: hold out training videos to score yourself (docs/ovis.md, "Hold-out").
# Pairs: every annotated frame, and one of at most 100 frames away. The long side of a frame is brought to 640 and the
# short one to at most 360; the rest is filled with grey, so that all pairs of a batch are alike. The original pads with
# black at the right and below, and lets a portrait video be 640 high; here it is 360 high in training.

classes = (
    "airplane", "bear", "bird", "boat", "car", "cat", "cow", "deer", "dog", "duck",
    "earless_seal", "elephant", "fish", "flying_disc", "fox", "frog", "giant_panda", "giraffe", "horse", "leopard",
    "lizard", "monkey", "motorbike", "mouse", "parrot", "person", "rabbit", "shark", "skateboard", "snake",
    "snowboard", "squirrel", "surfboard", "tennis_racket", "tiger", "train", "truck", "turtle", "whale", "zebra",
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
                ann_file="data/youtube_vis_2021/train/instances.json",
                image_root="data/youtube_vis_2021/train/JPEGImages",
            )
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(360, 640), scale=(1.0, 1.0)),
            dict(type="OccRandomFlip", prob=0.5),
        ],
    ),
)
benchmark = "ytvis21"  # tools/test_video.py --split looks for its files in data_root
data_root = "data/youtube_vis_2021"
test_dataset = dict(
    ann_file="data/youtube_vis_2021/valid/instances.json",
    image_root="data/youtube_vis_2021/valid/JPEGImages",
)
