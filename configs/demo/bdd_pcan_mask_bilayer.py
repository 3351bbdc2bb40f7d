# Synthetic BDD100K, stage 2 of PCAN: the bilayer mask head (GCN) alone, on boxes of bdd_pcan_box.py.
_base_ = ["base_pcan_mobilenetv2.py", "data_bdd100k.py"]

model = dict(stage="mask")
load_from = "work_dirs/bdd_pcan_box/iter_600.pth"
optim_wrapper = dict(optimizer=dict(lr=1e-3))
