"""Every protocol by name. A module is imported when its protocol is asked for."""

from __future__ import annotations

from importlib import import_module

from eval.errors import RequestError
from eval.protocols.protocol import Protocol

_PLACES = {
    "kitti_mots": "trackeval_mots:KITTI_MOTS",
    "mots_challenge": "trackeval_mots:MOTS_CHALLENGE",
    "mots_tools": "mots_tools:MOTS_TOOLS",
    "bdd100k_mots": "bdd100k_mots:BDD100K_MOTS",
    "bdd100k_mots_bitmask": "bdd100k_mots_bitmask:BDD100K_MOTS_BITMASK",
    "bdd100k_ins_seg": "bdd100k_ins_seg:BDD100K_INS_SEG",
    "bdd100k_ins_seg_bitmask": "bdd100k_ins_seg_bitmask:BDD100K_INS_SEG_BITMASK",
    "ytvis": "video_ap:YTVIS",
    "ovis": "video_ap:OVIS",
    "coco": "coco:COCO",
    "coco_boundary": "coco:COCO_BOUNDARY",
    "kins": "amodal:KINS",
    "cocoa": "amodal:COCOA",
    "cocoa_cls": "amodal:COCOA_CLS",
    "d2sa": "amodal:D2SA",
    "occlusion_levels": "occlusion_levels:OCCLUSION_LEVELS",
    "coco_panoptic": "panoptic:COCO_PANOPTIC",
    "cityscapes_panoptic": "panoptic:CITYSCAPES_PANOPTIC",
}

PROTOCOL_NAMES = tuple(_PLACES)


def protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        RequestError: There is none.
    """
    if name not in _PLACES:
        raise RequestError(f"There is no protocol '{name}'. Choose one of: {', '.join(PROTOCOL_NAMES)}.")
    module, constant = _PLACES[name].split(":")
    found = getattr(import_module(f"eval.protocols.{module}"), constant)
    assert isinstance(found, Protocol)
    return found
