# Training pairs of people, from single images and copy-paste, as tools/make_person_data.py writes them.
classes = ("person",)

train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        copy_paste=dict(prob=0.75, max_objects=3),
        sources=[
            dict(
                type="CocoFrames",
                ann_file="data/person/pennfudan_train.json",
                image_root="data/person/pennfudan",
            ),
            dict(
                type="CocoFrames",
                ann_file="data/person/coco128_person.json",
                image_root="data/person/coco128",
            ),
            dict(
                type="CocoFrames",
                ann_file="data/person/coco128_background.json",
                image_root="data/person/coco128",
                keep_empty=True,
            ),
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(288, 320), scale=(0.7, 2.0)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter"),
            dict(type="OccDropSmall", min_area=64, min_side=6),
        ],
    ),
)

val_dataset = dict(
    type="OccImages",
    ann_file="data/person/pennfudan_val.json",
    image_root="data/person/pennfudan",
)
