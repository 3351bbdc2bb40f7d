# KITTI MOTS: cars and pedestrians, 12 sequences to train on and 9 in val (both of KITTI's training), 29 in test; frames
# of about 1242 x 375.
# Layout, as the archives unpack:
#   data/kitti_mots/training/image_02/0000/000000.png
#   data/kitti_mots/testing/image_02/0000/000000.png
#   data/kitti_mots/instances/0000/000000.png
# instances_txt/0000.txt does as well; images are taken where both are there, or `form` of the source says which.
# Pairs: every labelled frame, and one of at most 3 frames away that shows one of its objects.

classes = ("car", "pedestrian")
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
        sources=[dict(type="MotsBenchmark", dataset="kitti_mots", root="data/kitti_mots", split="train")],
        pipeline=[
            dict(type="OccRandomScaleCrop", size=(384, 1248), scale=(1.0, 1.0)),
            dict(type="OccRandomFlip", prob=0.5),
        ],
    ),
)
benchmark = "kitti_mots"  # tools/test_video.py --split looks for its files in data_root
data_root = "data/kitti_mots"
