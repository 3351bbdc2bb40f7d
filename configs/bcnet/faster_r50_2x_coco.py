# BCNet on Faster R-CNN, ResNet-50, 2x, COCO; layout in data_coco.py.
# The paper reports no number for this combination.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_coco.py", "schedule_2x.py", "runtime.py"]
