#!/usr/bin/env bash
# Sets up if needed, then runs the tests: all of them, or what the arguments say, as for pytest.
#
#   bash tools/test.sh                      everything
#   bash tools/test.sh -m "not slow"        the quick ones
#   bash tools/test.sh tests/tracking -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup.sh
# The tests' tensors are small: one thread is as fast as many, and does not fight with what else runs here.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "${VOS_OCC_VENV:-.venv}/bin/python" -m pytest "$@"
