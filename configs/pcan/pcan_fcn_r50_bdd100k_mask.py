# PCAN R50 with its FCN mask head, BDD100K MOTS, second stage: the mask head; layout in masktrack/data_bdd100k.py.
# No such result is published: it is the start of the refine stage.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_bdd100k.py"]

model = dict(
    stage="mask",
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="PlainMaskHead", num_convs=4, in_channels=256, conv_out_channels=256, num_classes=8),
        ),
    ),
    refine_head=None,
    frame_attention=None,
)

# The stage before, or QDTrack's release under our names (docs/bdd100k.md)
load_from = "work_dirs/qdtrack_r50_bdd100k/epoch_12.pth"
