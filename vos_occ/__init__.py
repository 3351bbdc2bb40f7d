"""Occlusion-aware video instance segmentation and multi-object tracking and segmentation."""

__version__ = "0.1.0"
