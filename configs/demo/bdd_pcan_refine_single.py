# Synthetic BDD100K, stage 3 of PCAN as released: the refine head alone, on masks of bdd_pcan_mask_single.py
# (the plain mask head).
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(
    stage="refine",
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
optim_wrapper = dict(optimizer=dict(lr=1e-3))
