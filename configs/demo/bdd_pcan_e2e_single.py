# Synthetic BDD100K, PCAN end to end instead of stage 3: everything but the backbone, from bdd_pcan_mask_single.py
# (the plain mask head).
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(
    stage="e2e",
    detector=dict(
        roi_head=dict(
            mask_head=dict(
                _delete_=True,
                type="PlainMaskHead",
                num_convs=4,
                in_channels=64,
                conv_out_channels=64,
                num_classes=1,
                class_agnostic=True,
            ),
        )
    ),
)
load_from = "work_dirs/bdd_pcan_mask_single/iter_400.pth"
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={"refine_head": dict(lr_mult=5.0)}),
)
