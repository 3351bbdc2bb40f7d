# Mask R-CNN, COCOA, amodal; ResNet-50, which the paper does not say.
# The paper (table 6, Amodal MRCNN): AP 21.51 of all, 21.09 of things, 9.0 of stuff. Layout in data_cocoa.py.
# NOT TRAINED HERE.
_base_ = ["base_faster_rcnn.py", "data_cocoa.py", "runtime.py"]
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=1),
        mask_head=dict(
            _delete_=True, type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=1
        ),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
