# QDTrack R50, BDD100K: boxes and embedding, without masks. First stage of PCAN, the same for both mask heads; layout in
# data_bdd100k_boxes.py.
# Published: 36.6 mMOTA, 51.6 mIDF1 and 6193 ID switches on the val of box tracking (BDD100K's model zoo).
# NOT TRAINED HERE: no score of ours stands behind this file.
_base_ = ["base_r50.py", "data_bdd100k_boxes.py"]

model = dict(
    stage="box",
    detector=dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"))),
    refine_head=None,
    frame_attention=None,
)

# .04 for 16 pairs a step (2 a GPU on 8)
optim_wrapper = dict(optimizer=dict(lr=0.04))
auto_scale_lr = dict(base_batch_size=16)
