# Training pairs of the synthetic world, as tools/make_synthetic_data.py writes it.
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
                ann_file="data/synthetic/train/annotations_ytvis.json",
                image_root="data/synthetic/train/frames",
            )
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(192, 320), scale=(0.75, 1.35)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter", strength=0.6),
            dict(type="OccDropSmall"),
        ],
    ),
)

test_dataset = dict(
    ann_file="data/synthetic/heldout/annotations_ytvis.json",
    image_root="data/synthetic/heldout/frames",
)
