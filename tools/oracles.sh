#!/usr/bin/env bash
# Makes an environment with the official evaluators that cannot live in the main one, each at the version that our
# protocols equal. Tests and tools/benchmark_eval.py run them there as another process. Does nothing when up to date.
#
#   VOS_OCC_ORACLES  where the environment lies (default: .venv-oracles in this checkout)
#   PYTHON           the Python 3.11 or newer to make it from (default: that of .venv, else python3.11, else python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv="${VOS_OCC_ORACLES:-.venv-oracles}"
stamp="$venv/.vos_occ_oracles"

# The evaluators, then the numeric libraries below them: motmetrics takes its assignment from whichever solver is
# installed, so lap, lapsolver, munkres and ortools must stay out; bdd100k's own configs do not load with pydantic 2.
pins=(
    scalabel==0.3.1 bdd100k==1.0.1 motmetrics==1.4.0
    trackeval==1.3.0 faster-coco-eval==1.8.0 cityscapesScripts==2.3.0
    numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 pycocotools==2.0.11 opencv-python==4.11.0.86
    pydantic==1.10.27
)
modules="scalabel.eval.mots, bdd100k.eval.run, motmetrics, trackeval, faster_coco_eval"
modules="$modules, cityscapesscripts.evaluation.evalPanopticSemanticLabeling"

say() { printf 'oracles: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

usable() { "$1" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON does not run, or is older than 3.11. Set PYTHON to one that is newer."
        echo "$PYTHON"
        return
    fi
    for candidate in "${VOS_OCC_VENV:-.venv}/bin/python" python3.11 python3; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "found no Python 3.11 or newer. Install one, or set PYTHON to its path."
}

if [ "$(cat "$stamp" 2>/dev/null)" = "${pins[*]}" ] && "$venv/bin/python" -c "" 2>/dev/null; then exit 0; fi
python="$(find_python)"
if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ]; then fail "$venv is no environment. Set VOS_OCC_ORACLES to another place."; fi
say "making $venv from $python ($("$python" --version))"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${pins[@]}"
"$venv/bin/python" -c "import $modules; bdd100k.eval.run.load_bdd100k_config('seg_track')" || fail "the environment does not work; see above."
printf '%s\n' "${pins[*]}" >"$stamp"
say "done: $venv"
