#!/usr/bin/env bash
# Sets up .venv if needed, then runs the main job on the embedded default, into demo_out/ (an earlier demo there is
# replaced). Arguments go to tools/demo_synthetic.py.
set -euo pipefail
cd "$(dirname "$0")/.."
VOS_OCC_EXTRAS="${VOS_OCC_EXTRAS-}" bash tools/setup.sh
exec "${VOS_OCC_VENV:-.venv}/bin/python" tools/demo_synthetic.py --overwrite "$@"
