# BCNet on FCOS, small enough to train on a CPU, on images of your own; layout in data_small.py.
_base_ = ["base_fcos_small.py", "data_small.py", "runtime_small.py"]
