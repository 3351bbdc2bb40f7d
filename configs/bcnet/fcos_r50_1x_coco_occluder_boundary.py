# Ablation, table 1, one of rows 2 and 3 (by the order of the text, row 3): the occluder layer learns its contour alone.
# COCO-OCC 30.18 AP, 49.94 AP50; val2017 33.41 AP, 53.02 AP50.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(occluder_mask=False, occludee_boundary=False)))
