# BCNet on FCOS, ResNet-50, COCOA, amodal. The paper reports no number for it. Layout in data_cocoa.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_cocoa.py", "runtime.py"]
model = dict(
    bbox_head=dict(num_classes=1),
    roi_head=dict(mask_head=dict(num_classes=1)),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
