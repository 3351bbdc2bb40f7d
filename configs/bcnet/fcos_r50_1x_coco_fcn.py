# Ablation, table 3, row 3: two layers without non-local blocks.
# COCO-OCC 30.12 AP, 49.04 AP50; val2017 33.16 AP, 52.80 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(variant="fcn")))
