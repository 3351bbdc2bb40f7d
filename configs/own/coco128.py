# faster_small.py on the first 128 images of COCO train2017, scored on the same images: does it learn at all?
# Layout: data/coco128/annotations/instances_train2017_first128.json, data/coco128/images/train2017/*.jpg
_base_ = ["base_faster_small.py", "data_small.py", "runtime_small.py"]
own_data = dict(
    root="data/coco128/",
    train="annotations/instances_train2017_first128.json",
    train_images="images/train2017/",
    val="annotations/instances_train2017_first128.json",
    val_images="images/train2017/",
)
