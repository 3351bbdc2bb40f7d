# People: Penn-Fudan (first 136 images), the persons of COCO128, and copy-paste of them.
_base_ = ["base_mobilenetv2.py"]

classes = ("person",)
model = dict(
    detector=dict(
        rpn_head=dict(anchor_generator=dict(ratios=[1.0, 2.0, 3.0])),
        roi_head=dict(bbox_head=dict(num_classes=1)),
    ),
    test_scale=(480, 320),
)

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
                repeat=1,
            ),
            dict(
                type="CocoFrames",
                ann_file="data/person/coco128_person.json",
                image_root="data/person/coco128",
                repeat=1,
            ),
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(288, 320), scale=(0.7, 1.6)),
            dict(type="OccRandomFlip"),
            dict(type="OccColorJitter"),
            dict(type="OccDropSmall", min_area=64, min_side=6),
        ],
    ),
)
