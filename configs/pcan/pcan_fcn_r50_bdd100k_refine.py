# PCAN R50 with its FCN mask head, BDD100K MOTS, third stage: the refine head; layout in masktrack/data_bdd100k.py.
# Published: 27.4 mMOTSA on val, 66.7 mMOTSP, 45.1 mIDF1, 876 ID switches, 26.6 mAP (BCNet, table 12); its model zoo
# says 28.1 mMOTSA, 45.4 mIDF1 and 874 ID switches on val, and 31.9, 50.4 and 845 on test.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_bdd100k.py"]

model = dict(
    stage="refine",
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=8),
        ),
    ),
)

# The stage before
load_from = "work_dirs/pcan_fcn_r50_bdd100k_mask/epoch_12.pth"
