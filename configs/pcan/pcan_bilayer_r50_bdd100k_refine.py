# PCAN R50 with the bilayer head, BDD100K MOTS, third stage: the refine head; layout in masktrack/data_bdd100k.py.
# No such result is published: the paper's PCAN + BCNet learns end to end (pcan_bilayer_r50_bdd100k_e2e.py).
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_bdd100k.py"]

model = dict(
    stage="refine",
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # BDD100K does not say who lies in front
        ),
    ),
    occlusion=dict(order_known=False),
)

# The stage before
load_from = "work_dirs/pcan_bilayer_r50_bdd100k_mask/epoch_12.pth"
