# PCAN R50 with its FCN mask head, BDD100K MOTS, all of it, end to end; layout in masktrack/data_bdd100k.py.
# No such result is published: the release trains the refine head alone, with everything else frozen.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_bdd100k.py"]

model = dict(
    stage="e2e",
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=8),
        ),
    ),
)

# The mask stage
load_from = "work_dirs/pcan_fcn_r50_bdd100k_mask/epoch_12.pth"
