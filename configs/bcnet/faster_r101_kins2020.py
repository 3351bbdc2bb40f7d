# BCNet on Faster R-CNN, ResNet-101, KINS with the annotations of 2020, amodal. Layout in data_kins2020.py.
# The paper reports no number on them: its 28.87 box AP and 27.30 mask AP (table 7) are of 2019 (faster_r101_kins.py).
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_kins2020.py", "runtime.py"]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron2/resnet101_caffe")),
    roi_head=dict(bbox_head=dict(num_classes=8), mask_head=dict(num_classes=8)),
)
