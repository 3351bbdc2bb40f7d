# Synthetic BDD100K, 120 training videos: tools/make_synthetic_data.py --format bdd100k
classes = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")

train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        frame_range=3,
        require_shared=True,
        sources=[
            dict(
                type="BddBitmaskFrames",
                labels="data/synthetic_bdd100k/labels/seg_track_20/bitmasks/train",
                image_root="data/synthetic_bdd100k/images/seg_track_20/train",
            ),
            dict(
                type="BddBitmaskFrames",
                labels="data/synthetic_bdd100k/labels/ins_seg/bitmasks/train",
                image_root="data/synthetic_bdd100k/images/10k/train",
            ),
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(192, 320), scale=(0.75, 1.35)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter", strength=0.6),
            dict(type="OccDropSmall"),
        ],
    ),
)

benchmark = "bdd100k"
data_root = "data/synthetic_bdd100k"
