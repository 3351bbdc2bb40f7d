# COCO as in the paper's comparisons: short side 640 to 800 for training, 800 for testing.
# Layout:
#   data/coco/annotations/instances_{train,val}2017.json
#   data/coco/{train,val}2017/*.jpg
# COCO-OCC, the images of val2017 with overlapping objects: make its json with tools/make_coco_occ.py, then
#   --cfg-options val_dataloader.dataset.ann_file=annotations/FILE.json
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="AmodalDataset",
        format="coco",
        num_classes=80,
        data_root="data/coco/",
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAmodalAnnotations"),
            dict(
                type="RandomChoiceResize",
                scales=[(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)],
                keep_ratio=True,
            ),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackAmodalInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="AmodalDataset",
        format="coco",
        num_classes=80,
        data_root="data/coco/",
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1333, 800), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="OccImageMetric", protocol="coco")
