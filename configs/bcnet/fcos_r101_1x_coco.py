# BCNet on FCOS, ResNet-101, 1x, COCO; layout in data_coco_600.py.
# The paper reports no number for this combination.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron2/resnet101_caffe")),
)
