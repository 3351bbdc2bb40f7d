# MaskTrack R-CNN R50 with the bilayer head, OVIS. No such result is published: the paper has CMTrack + BCNet on OVIS
# (17.1 AP) and plain MaskTrack R-CNN (10.8 AP). Detector settings are those of the released CMaskTrack R-CNN config.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py"]

# "Vehical" is how the annotation files spell it
classes = (
    "Person", "Bird", "Cat", "Dog", "Horse", "Sheep", "Cow", "Elephant", "Bear", "Zebra",
    "Giraffe", "Poultry", "Giant_panda", "Lizard", "Parrot", "Monkey", "Rabbit", "Tiger", "Fish", "Turtle",
    "Bicycle", "Motorcycle", "Airplane", "Boat", "Vehical",
)  # fmt: skip
model = dict(
    detector=dict(
        roi_head=dict(
            bbox_head=dict(num_classes=25),
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # OVIS says how much is hidden in words, not by whom
        ),
        train_cfg=dict(
            rpn=dict(sampler=dict(num=256)),
            rpn_proposal=dict(nms_pre=1000, max_per_img=1000),
            rcnn=dict(sampler=dict(num=512)),
        ),
        test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=1000), rcnn=dict(max_per_img=100)),
    ),
    occlusion=dict(order_known=False),
)

# .005 for 16 pairs a step there (4 a GPU on 4)
auto_scale_lr = dict(base_batch_size=16)
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
                image_root="data/ovis/train_images",
            )
        ],
        pipeline={{_base_.train_pipeline}},
    ),
)
test_dataset = dict(
    ann_file="data/ovis/annotations_valid.json",
    image_root="data/ovis/valid_images",
)
