# BCNet on Faster R-CNN, ResNet-101, KINS, amodal.
# The paper (table 7): 28.87 box AP, 27.30 mask AP. Layout in data_kins.py.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_kins.py", "runtime.py"]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron2/resnet101_caffe")),
    roi_head=dict(bbox_head=dict(num_classes=7), mask_head=dict(num_classes=7)),
)
