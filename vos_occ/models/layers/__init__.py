"""Blocks that know no task. They import torch and nothing of the mm* stack."""
