# BCNet on FCOS, ResNet-50, 3x, COCO; layout in data_coco.py.
# The paper reports no number for this combination.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco.py", "schedule_3x.py", "runtime.py"]
