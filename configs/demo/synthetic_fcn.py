# The plain mask head of Mask R-CNN in place of the bilayer head, all else as in synthetic.py: for comparison.
_base_ = ["base_mobilenetv2.py", "data_synthetic.py"]

model = dict(
    detector=dict(
        roi_head=dict(
            bbox_head=dict(num_classes=6),
            mask_head=dict(
                _delete_=True,
                type="PlainMaskHead",
                num_convs=4,
                in_channels=64,
                conv_out_channels=64,
                num_classes=1,
                class_agnostic=True,
                hidden_output=True,
            ),
        )
    ),
    memory=dict(confirm_after=1),
)
