# BCNet on Faster R-CNN, COCOA, amodal; ResNet-50, which the paper does not say.
# The paper (table 6): AP 23.09 of all, 22.72 of things, 9.53 of stuff. Layout in data_cocoa.py.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_cocoa.py", "runtime.py"]
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
