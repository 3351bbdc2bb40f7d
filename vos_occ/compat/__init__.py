"""The mm* stack on this machine: import this before any of mmcv, mmdet or mmengine.

Importing it is cheap (no torch, no mm*) and does two things, once:

* answers for mmcv's operators where mmcv was installed without its compiled extension (`ext_module`, `backend`);
* drops the notices that the stack prints while it is imported (`noise`).

It is imported for its effect, and by nobody's logic; `op_backend` is for the doctor and for logs.
"""

from vos_occ.compat import ext_module, noise
from vos_occ.compat.backend import OpBackend, op_backend

__all__ = ["OpBackend", "op_backend"]

noise.silence()
ext_module.install()
