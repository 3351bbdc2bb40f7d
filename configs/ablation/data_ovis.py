# Synthetic OVIS, 200 training videos: tools/make_synthetic_data.py --format ovis --heldout 40
classes = ("ball", "brick", "star", "leaf", "bottle", "blossom")

train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        frame_range=16,
        sources=[
            dict(
                type="YtvisFrames",
                ann_file="data/synthetic_ovis/annotations_train.json",
                image_root="data/synthetic_ovis/train",
            )
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(240, 400), scale=(0.8, 1.5)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter", strength=0.6),
            dict(type="OccDropSmall"),
        ],
    ),
)

benchmark = "ovis"
data_root = "data/synthetic_ovis"
test_dataset = dict(
    ann_file="data/synthetic_ovis/annotations_valid_full.json",
    image_root="data/synthetic_ovis/valid",
)
