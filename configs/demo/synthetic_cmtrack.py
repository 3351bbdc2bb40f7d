# CMTrack R-CNN, small, on the synthetic world: configs/demo/synthetic.py seen through the neighbours. It begins as that
# trained model (in a checkout; the calibration starts as an identity) and is fine-tuned:
#   python tools/train.py configs/demo/synthetic_cmtrack.py
_base_ = ["base_mobilenetv2.py", "data_synthetic.py"]

custom_imports = dict(imports=["vos_occ.models.video.cmtrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])
load_from = "vos_occ/weights/synthetic.safetensors"
model = dict(
    type="OccCMTrackRCNN",
    reach=5,
    # 81 shifts of up to 8 cells: 32 pixels on the finest level; frames of 320 x 192 are a quarter of the published area
    calibration=dict(type="TemporalCalibration", channels=64, patch_size=9, start="identity", sharpness=40),
    detector=dict(roi_head=dict(bbox_head=dict(num_classes=6))),
    memory=dict(confirm_after=1),
)
train_dataloader = dict(dataset=dict(frame_range=5))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_iters=1500)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=100, end=1500, eta_min_ratio=0.02),
]
