# BCNet on FCOS, ResNet-50, on images of your own; layout in data.py. From ImageNet weights (downloaded).
_base_ = ["../bcnet/base_fcos.py", "data.py", "runtime.py"]
