# faster_small.py on the five images of the COCOA demo, amodal masks and known order, scored on the same images.
# Layout: data/cocoa_demo/annotations.json (tools/make_cocoa_data.py writes it), data/cocoa_demo/*.jpg
_base_ = ["base_faster_small.py", "data_small.py", "runtime_small.py"]
model = dict(roi_head=dict(mask_targets=dict(occluder="in_front")))
own_data = dict(
    root="data/cocoa_demo/",
    train="annotations.json",
    train_images="",
    val="annotations.json",
    val_images="",
    format="cocoa",
)
