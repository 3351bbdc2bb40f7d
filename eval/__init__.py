"""Benchmark evaluators: numpy, scipy and pycocotools. Knows nothing of torch or vos_occ."""
