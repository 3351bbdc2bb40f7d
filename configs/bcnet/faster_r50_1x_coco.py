# BCNet on Faster R-CNN, ResNet-50, 1x, COCO; layout in data_coco_600.py.
# The paper (tables 4 and 8): COCO-OCC 31.71 AP, 51.15 AP50; val2017 34.61 AP, 54.41 AP50.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
