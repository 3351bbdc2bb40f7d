"""Benchmark evaluators: numpy, scipy and pycocotools. Knows nothing of torch or vos_occ.

from eval import evaluate
scores = evaluate("kitti_mots", gt="instances_txt.zip", pred="results/")
print(scores.summary)
"""

from eval.evaluation import evaluate
from eval.protocols import PROTOCOL_NAMES
from eval.scores import Scores

__all__ = ["PROTOCOL_NAMES", "Scores", "evaluate"]
