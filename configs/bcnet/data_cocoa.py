# COCOA, whole objects and regions of background, one class: boxes and masks, of both layers, are amodal.
# Layout:
#   data/coco2014/annotations/COCO_amodal_{train,val}2014.json
#   data/coco2014/{train,val}2014/*.jpg
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="AmodalDataset",
        format="cocoa",
        num_classes=1,
        data_root="data/coco2014/",
        ann_file="annotations/COCO_amodal_train2014.json",
        data_prefix=dict(img="train2014/"),
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
        format="cocoa",
        num_classes=1,
        data_root="data/coco2014/",
        ann_file="annotations/COCO_amodal_val2014.json",
        data_prefix=dict(img="val2014/"),
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1333, 800), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="OccImageMetric", protocol="cocoa")

# A third-party recipe (2 images a step, one GPU, lr 0.0005); the paper gives none.
train_cfg = dict(type="IterBasedTrainLoop", max_iters=10000, val_interval=10000)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=10000, milestones=[5000, 8000], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=2)
