#!/usr/bin/env bash
# Makes .venv with everything that vos_occ needs; does nothing when it is up to date. No compiler needed.
#
#   VOS_OCC_VENV    where the environment lies (default: .venv in this checkout)
#   PYTHON          the Python 3.10-3.13 to make it from (default: the first found)
#   VOS_OCC_EXTRAS  extras to install, comma-separated (default: test; empty: none)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv="${VOS_OCC_VENV:-.venv}"
extras="${VOS_OCC_EXTRAS-test}"
stamp="$venv/.vos_occ_setup"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# What was installed from: a change in any of it installs again. The environment is tied to this checkout.
fingerprint() { { cat pyproject.toml constraints.txt && pwd; } | cksum | tr ' ' '-'; }

# Whether the stamp says the same fingerprint and every extra that is asked for.
up_to_date() {
    [ -f "$stamp" ] && "$venv/bin/python" -c "" 2>/dev/null || return 1
    local installed_from installed_extras extra
    { read -r installed_from && read -r installed_extras; } <"$stamp" || return 1
    [ "$installed_from" = "$(fingerprint)" ] || return 1
    for extra in ${extras//,/ }; do
        case ",$installed_extras," in *",$extra,"*) ;; *) return 1 ;; esac
    done
}

usable() { "$1" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null; }

# The Python to use. 3.11 is what CI tests, so it comes first; pyenv's are often installed without being on PATH.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON does not run, or is not Python 3.10-3.13. Set PYTHON to one that is."
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3.10 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[0-3].*/bin/python; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "found no Python 3.10-3.13. Install one (e.g. apt install python3.11 python3.11-venv), or set PYTHON to its path."
}

make_venv() {
    local python clear=""
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        usable "$venv/bin/python" || fail "$venv is not Python 3.10-3.13. Remove it, or set VOS_OCC_VENV to another place."
        return
    fi
    python="$(find_python)"
    say "making $venv from $python ($("$python" --version))"
    if [ -f "$venv/pyvenv.cfg" ]; then clear=--clear; fi  # a broken environment; any other folder keeps its files
    "$python" -m venv $clear "$venv" ||
        fail "$python cannot make environments. On Debian and Ubuntu: apt install python3-venv; or set PYTHON to another."
}

pip_install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"; }

if up_to_date; then exit 0; fi
make_venv
rm -f "$stamp"
say "installing torch (the longest step)"
pip_install torch
say "installing vos_occ${extras:+ with extras: $extras}"
pip_install -e ".${extras:+[$extras]}"
if ! "$venv/bin/python" -c "import cv2" 2>/dev/null; then
    say "OpenCV does not load here (no libGL?); putting the one without windows in its place"
    pip_install --force-reinstall --no-deps opencv-python-headless
fi
"$venv/bin/python" -m vos_occ.doctor --quiet || fail "the environment does not work yet; see above."
printf '%s\n%s\n' "$(fingerprint)" "${extras:-none}" >"$stamp"
say "done: $venv"
