# BCNet on FCOS, ResNet-101, KINS, amodal. The paper reports no number for it.
# The learning rate is FCOS's of COCO, for half as many images. Layout in data_kins.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_kins.py", "runtime.py"]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron2/resnet101_caffe")),
    bbox_head=dict(num_classes=7),
    roi_head=dict(mask_head=dict(num_classes=7)),
)
optim_wrapper = dict(optimizer=dict(lr=0.005))
