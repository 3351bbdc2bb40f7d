# BCNet on Faster R-CNN, ResNet-50, 1x, trained on COCO and synthetic occlusions together.
# The paper (table 8, "+SOD"): COCO-OCC 32.89 AP, 53.25 AP50; without it 31.71 and 51.15. It says neither in what
# proportion they are met nor for how long: here every picture of either counts alike, by the schedule without SOD.
# Layout in data_coco_sod_600.py.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_coco_sod_600.py", "schedule_1x.py", "runtime.py"]
