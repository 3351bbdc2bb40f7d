# Synthetic BDD100K, stage 3 of PCAN as released: the refine head alone, on masks of bdd_pcan_mask_bilayer.py
# (the bilayer mask head (GCN)).
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(stage="refine")
load_from = "work_dirs/bdd_pcan_mask_bilayer/iter_400.pth"
optim_wrapper = dict(optimizer=dict(lr=1e-3))
