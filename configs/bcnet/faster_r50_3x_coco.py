# BCNet on Faster R-CNN, ResNet-50, 3x, COCO; layout in data_coco.py.
# The paper (table 9): test-dev 38.4 AP, 59.6 AP50, 41.5 AP75.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_coco.py", "schedule_3x.py", "runtime.py"]
