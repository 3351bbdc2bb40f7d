# COCO and synthetic occlusions (SOD), short side 600, long side at most 900. Of both the visible masks are learned.
# Layout:
#   data/coco/annotations/instances_{train,val}2017.json
#   data/coco/{train,val}2017/*.jpg
#   data/sod/annotations.json, data/sod/images/*: made by
#     tools/make_sod.py data/coco/annotations/instances_train2017.json --images data/coco/train2017 --out data/sod
# COCO-OCC, the images of val2017 with overlapping objects: make its json with tools/make_coco_occ.py, then
#   --cfg-options val_dataloader.dataset.ann_file=annotations/FILE.json
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="ConcatDataset",
        ignore_keys=["ann_file"],
        datasets=[
            dict(
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
                    dict(type="Resize", scale=(900, 600), keep_ratio=True),
                    dict(type="RandomFlip", prob=0.5),
                    dict(type="PackAmodalInputs"),
                ],
            ),
            dict(
                type="AmodalDataset",
                format="synthetic",
                extent="visible",
                num_classes=80,
                data_root="data/sod/",
                ann_file="annotations.json",
                data_prefix=dict(img="images/"),
                filter_cfg=dict(filter_empty_gt=True),
                pipeline=[
                    dict(type="LoadImageFromFile"),
                    dict(type="LoadAmodalAnnotations"),
                    dict(type="Resize", scale=(900, 600), keep_ratio=True),
                    dict(type="RandomFlip", prob=0.5),
                    dict(type="PackAmodalInputs"),
                ],
            ),
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
            dict(type="Resize", scale=(900, 600), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="OccImageMetric", protocol="coco")
