# Ablation, table 2, row 1: the occluder layer's features are not handed on.
# COCO-OCC 29.45 AP, 49.73 AP50; val2017 32.56 AP, 52.21 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(guidance=False, occludee_boundary=False)))
