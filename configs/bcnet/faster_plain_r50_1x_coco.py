# Mask R-CNN, the plain baseline.
# The paper (tables 4 and 8): COCO-OCC 29.67 AP, 49.95 AP50; val2017 33.45 AP, 53.70 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(
    roi_head=dict(
        mask_head=dict(
            _delete_=True,
            type="PlainMaskHead",
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=80,
        ),
    ),
)
