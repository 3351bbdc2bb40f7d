# BCNet on FCOS, ResNet-101, 2x, COCO; layout in data_coco.py.
# The paper (table 9): test-dev 39.6 AP, 61.2 AP50, 42.7 AP75. The only released weights are of this model.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco.py", "schedule_2x.py", "runtime.py"]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron2/resnet101_caffe")),
)
