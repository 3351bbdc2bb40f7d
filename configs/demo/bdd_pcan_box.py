# Synthetic BDD100K, stage 1 of PCAN, which all of its models share: RPN, boxes and quasi-dense embeddings. The mask
# head is the plain one and does not run: so the shipped bilayer head is not taken over, and both begin from nothing.
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(
    stage="box",
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
load_from = "vos_occ/weights/synthetic.safetensors"  # six classes: box scores and embeddings begin anew

optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={"fc_cls": dict(lr_mult=3.0), "track_head": dict(lr_mult=3.0)}),
)
train_cfg = dict(max_iters=600)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=60),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=60, end=600, eta_min_ratio=0.01),
]
