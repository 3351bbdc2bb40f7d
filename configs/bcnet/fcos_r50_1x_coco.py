# BCNet on FCOS, ResNet-50, 1x, COCO; layout in data_coco_600.py.
# The paper (tables 3 and 4): COCO-OCC 30.68 AP, 50.62 AP50; val2017 33.62 AP, 53.26 AP50.
# NOT TRAINED HERE.
_base_ = ["base_fcos.py", "data_coco_600.py", "schedule_1x.py", "runtime.py"]
