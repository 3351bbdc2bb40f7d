# Ablation, table 3, row 2: one layer, with the non-local block.
# COCO-OCC 29.63 AP, 49.59 AP50; val2017 33.14 AP, 52.81 AP50. Whether it learned contours is not said; here it does.
# Layout in data_coco_600.py.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
model = dict(roi_head=dict(mask_head=dict(bilayer=False)))
