# BCNet on Faster R-CNN, ResNet-50, on images of your own; layout in data.py.
# From ImageNet weights (downloaded). From mmdet's Mask R-CNN, better where there are few images:
#   --cfg-options load_from=https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco/mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco_bbox_mAP-0.408__segm_mAP-0.37_20200504_163245-42aa3d00.pth
_base_ = ["../bcnet/base_faster_rcnn.py", "data.py", "runtime.py"]
