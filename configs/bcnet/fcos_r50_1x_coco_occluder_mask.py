# Ablation, table 1, one of rows 2 and 3 (by the order of the text, row 2): the occluder layer learns its mask alone.
# COCO-OCC 29.65 AP, 49.42 AP50; val2017 33.25 AP, 52.82 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(occluder_boundary=False, occludee_boundary=False)))
