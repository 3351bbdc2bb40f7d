# Synthetic BDD100K, stage 2 of PCAN: the plain mask head alone, on boxes of bdd_pcan_box.py.
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(
    stage="mask",
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
load_from = "work_dirs/bdd_pcan_box/iter_600.pth"
optim_wrapper = dict(optimizer=dict(lr=1e-3))
