# BCNet on Faster R-CNN, ResNet-101, 3x, COCO; layout in data_coco.py.
# The paper (table 9): test-dev 39.8 AP, 61.5 AP50, 43.1 AP75.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_coco.py", "schedule_3x.py", "runtime.py"]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron2/resnet101_caffe")),
)
