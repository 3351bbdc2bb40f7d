# data.py for two CPU cores: images of at most 480 x 320, loaded in the training process.
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
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="AmodalDataset",
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAmodalAnnotations"),
            dict(type="RandomChoiceResize", scales=[(480, 256), (480, 288), (480, 320)], keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackAmodalInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="AmodalDataset",
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(480, 320), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
val_cfg = dict(type="ValLoop")
val_evaluator = dict(type="OccImageMetric")
