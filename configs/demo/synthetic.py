# The synthetic world: trained on its train split, scored on held-back shapes and textures.
_base_ = ["base_mobilenetv2.py", "data_synthetic.py"]

model = dict(detector=dict(roi_head=dict(bbox_head=dict(num_classes=6))), memory=dict(confirm_after=1))
