# BDD100K's boxes: 1400 videos of its box tracking, and 70 000 single images of its detection. Both have the 8 classes
# of MOTS; what is only in the detection (traffic lights and signs) is left out.
# Layout, as the archives unpack (their folder bdd100k renamed, or inside of data_root):
#   data/bdd100k/images/track/train/VIDEO/VIDEO-0000001.jpg
#   data/bdd100k/labels/box_track_20/train/VIDEO.json
#   data/bdd100k/images/100k/train/IMAGE.jpg
#   data/bdd100k/labels/det_20/det_train.json
# Pairs: every labelled frame, and one of at most 3 frames away with one of its objects; an image is augmented twice.

classes = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        frame_range=3,
        require_shared=True,
        sources=[
            dict(type="MotsBenchmark", dataset="bdd100k_box_track", root="data/bdd100k", split="train"),
            dict(type="MotsBenchmark", dataset="bdd100k_det", root="data/bdd100k", split="train"),
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(720, 1280), scale=(1.0, 1.0)),
            dict(type="OccRandomFlip", prob=0.5),
        ],
    ),
)
