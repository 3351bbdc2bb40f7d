# Ablation, table 1, row 1: the occluder layer has no loss of its own.
# COCO-OCC 29.04 AP, 49.22 AP50; val2017 32.65 AP, 52.39 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(occluder_mask=False, occluder_boundary=False, occludee_boundary=False)))
