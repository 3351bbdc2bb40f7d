# PCAN R50 with the bilayer head, BDD100K MOTS, second stage: the mask head; layout in masktrack/data_bdd100k.py.
# No such result is published: it is the start of the refine stage.
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "../masktrack/data_bdd100k.py"]

model = dict(
    stage="mask",
    detector=dict(
        roi_head=dict(
            mask_head=dict(type="BilayerMaskHead", in_channels=256),
            mask_targets=dict(occluder="all"),  # BDD100K does not say who lies in front
        ),
    ),
    refine_head=None,
    frame_attention=None,
    occlusion=dict(order_known=False),
)

# The stage before, or QDTrack's release under our names (docs/bdd100k.md)
load_from = "work_dirs/qdtrack_r50_bdd100k/epoch_12.pth"
