# Synthetic BDD100K, PCAN end to end instead of stage 3: everything but the backbone, from bdd_pcan_mask_bilayer.py
# (the bilayer mask head (GCN)).
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(stage="e2e")
load_from = "work_dirs/bdd_pcan_mask_bilayer/iter_400.pth"
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={"refine_head": dict(lr_mult=5.0)}),
)
