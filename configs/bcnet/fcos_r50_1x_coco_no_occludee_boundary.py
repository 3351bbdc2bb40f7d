# Ablation, table 1, row 4, and table 2, row 2: the occludee layer learns its mask alone.
# COCO-OCC 30.37 AP, 50.40 AP50; val2017 33.43 AP, 53.12 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(occludee_boundary=False)))
