# BDD100K MOTS: 8 classes, 154 videos to train on, 32 in val, 37 in test, of about 200 frames at 5 fps, 1280 x 720; and
# 7000 single images with masks beside them, as PCAN trains.
# Layout, as the archives unpack (their folder bdd100k renamed, or inside of data_root):
#   data/bdd100k/images/seg_track_20/{train,val,test}/VIDEO/VIDEO-0000001.jpg
#   data/bdd100k/labels/seg_track_20/bitmasks/{train,val}/VIDEO/VIDEO-0000001.png
#   data/bdd100k/images/10k/{train,val}/IMAGE.jpg
#   data/bdd100k/labels/ins_seg/bitmasks/{train,val}/IMAGE.png
# rles/ or polygons/ in place of bitmasks/ do as well: the first that is there, or what `form` of a source says.
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
            dict(type="MotsBenchmark", dataset="bdd100k", root="data/bdd100k", split="train"),
            dict(type="MotsBenchmark", dataset="bdd100k_ins_seg", root="data/bdd100k", split="train"),
        ],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(720, 1280), scale=(1.0, 1.0)),
            dict(type="OccRandomFlip", prob=0.5),
        ],
    ),
)
benchmark = "bdd100k"  # tools/test_video.py --split looks for its files in data_root
data_root = "data/bdd100k"
