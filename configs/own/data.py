# Images of your own, and the one place that says where they lie. Layout, unless own_data says otherwise:
#   data/mine/train.json, data/mine/val.json    COCO instances format, with masks; both with the same categories
#   data/mine/images/
# Classes and their number come from train.json. On the command line: --cfg-options own_data.root=/elsewhere ...
own_data = dict(
    root="data/mine/",
    train="train.json",
    train_images="images/",
    val="val.json",
    val_images="images/",
    format="coco",  # or, with amodal masks: kins, cocoa, cocoa_cls, d2sa
)
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="AmodalDataset",
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
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="AmodalDataset",
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1333, 800), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="OccImageMetric")
