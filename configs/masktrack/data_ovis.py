# OVIS: 25 classes, 607 videos to train on, 140 in valid, 154 in test; mostly 1920 x 1080.
# Layout (train_images/ and so on do as well for testing: tools/test_video.py --split finds either):
#   data/ovis/annotations_{train,valid,test}.json
#   data/ovis/{train,valid,test}/VIDEO/img_0000001.jpg
# valid and test say "annotations": null: hold out training videos to score yourself (docs/ovis.md, "Hold-out").
# Pairs: every annotated frame, and one of at most 100 frames away. The long side of a frame is brought to 640 and the
# short one to at most 360; the rest is filled with grey, so that all pairs of a batch are alike. The original pads with
# black at the right and below, and lets a portrait video be 640 high; here it is 360 high in training.

# "Vehical" is how the annotation files spell it
classes = (
    "Person", "Bird", "Cat", "Dog", "Horse", "Sheep", "Cow", "Elephant", "Bear", "Zebra",
    "Giraffe", "Poultry", "Giant_panda", "Lizard", "Parrot", "Monkey", "Rabbit", "Tiger", "Fish", "Turtle",
    "Bicycle", "Motorcycle", "Airplane", "Boat", "Vehical",
)  # fmt: skip
train_dataloader = dict(
    batch_size=2,
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
                ann_file="data/ovis/annotations_train.json",
                image_root="data/ovis/train",
            )
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(360, 640), scale=(1.0, 1.0)),
            dict(type="OccRandomFlip", prob=0.5),
        ],
    ),
)
benchmark = "ovis"  # tools/test_video.py --split looks for its files in data_root
data_root = "data/ovis"
test_dataset = dict(
    ann_file="data/ovis/annotations_valid.json",
    image_root="data/ovis/valid",
)
