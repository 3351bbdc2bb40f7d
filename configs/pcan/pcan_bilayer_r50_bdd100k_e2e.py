# PCAN R50 with the bilayer head, BDD100K MOTS, all of it, end to end; layout in masktrack/data_bdd100k.py.
# Published: 28.5 mMOTSA on val, 67.6 mMOTSP, 46.1 mIDF1, 825 ID switches, 28.0 mAP (BCNet, table 12). Its config and
# code were not: what learns in which stage is ours (docs/sources.md, trackers 0).
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_bdd100k.py"]

model = dict(
    stage="e2e",
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # BDD100K does not say who lies in front
        ),
    ),
    occlusion=dict(order_known=False),
)

# The mask stage
load_from = "work_dirs/pcan_bilayer_r50_bdd100k_mask/epoch_12.pth"
