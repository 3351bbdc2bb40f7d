# CenterMask-style baseline: a plain mask head behind FCOS; the single FCN layer of table 3.
# The paper (tables 3 and 4): COCO-OCC 28.43 AP, 48.24 AP50; val2017 33.01 AP, 52.62 AP50 (table 8, CenterMask itself,
# with its own level rule and spatial attention: COCO-OCC 29.05, 49.07).
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(
    roi_head=dict(
        mask_head=dict(
            _delete_=True,
            type="PlainMaskHead",
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=80,
            class_agnostic=True,
        ),
    ),
)
