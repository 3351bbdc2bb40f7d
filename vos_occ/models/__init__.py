"""Networks: task-free layers, the bilayer occlusion head, and the video models built on them."""
