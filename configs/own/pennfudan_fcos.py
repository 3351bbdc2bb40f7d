# fcos_small.py on Penn-Fudan: 136 images to train, 34 to test. Layout as tools/make_person_data.py writes it.
_base_ = ["base_fcos_small.py", "data_small.py", "runtime_small.py"]
own_data = dict(
    root="data/person/",
    train="pennfudan_train.json",
    train_images="pennfudan/",
    val="pennfudan_val.json",
    val_images="pennfudan/",
)
