# Sourced by the other scripts (bash): goes to the checkout and sees to Python and its packages.
# Afterwards `$PYTHON` is the interpreter of the active environment, or of a `.venv` made in the checkout.
#
#   source scripts/setup.sh
#   set_up requirements.txt [more requirement files]

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

OLDEST_PYTHON=3.10

is_new_enough() { # PYTHON
    "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$OLDEST_PYTHON'.split('.'))))" 2>/dev/null
}

stop() { # MESSAGE
    echo "error: $1" >&2
    exit 1
}

find_python() { # prints an interpreter that is new enough to make the environment with
    local name
    for name in python3 python python3.13 python3.12 python3.11 python3.10 python3.14; do
        if command -v "$name" >/dev/null && is_new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    stop "Python $OLDEST_PYTHON or newer is needed, found $(python3 --version 2>/dev/null || echo none): install one, \
or activate an environment that has one, and run this again"
}

make_environment() { # makes .venv where there is none that works
    if [ -x .venv/bin/python ] && is_new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    local base
    base=$(find_python) || exit 1
    echo "Making the environment .venv with $base ($("$base" --version))"
    "$base" -m venv --clear .venv || stop "$base cannot make a virtual environment: install its venv module \
(on Debian and Ubuntu the package python3-venv), remove .venv and run this again"
}

find_environment() { # sets PYTHON
    local active=${VIRTUAL_ENV:-}
    if [ -z "$active" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ]; then
        active=${CONDA_PREFIX:-}
    fi
    if [ -z "$active" ]; then
        make_environment
        PYTHON=$PWD/.venv/bin/python
        return
    fi
    PYTHON=$active/bin/python
    [ -x "$PYTHON" ] || stop "the active environment $active has no bin/python: deactivate it (its own .venv is made \
then) or make it anew"
    is_new_enough "$PYTHON" || stop "the active environment $active has $("$PYTHON" --version 2>&1), Python \
$OLDEST_PYTHON or newer is needed: deactivate it or make it with a newer one"
    "$PYTHON" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m ensurepip >/dev/null 2>&1 || stop "the active \
environment $active has no pip: install pip into it or deactivate it"
}

stamp_file() { # REQUIREMENTS -> where its hash is kept once it is installed
    echo "$("$PYTHON" -c 'import sys; print(sys.prefix)')/.corrvos-${1//\//-}.stamp"
}

fingerprint() { # REQUIREMENTS -> hash of the file and of the Python version
    "$PYTHON" -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read() + sys.version.encode()).hexdigest())' "$1"
}

set_up() { # REQUIREMENTS...
    local file changed=()
    find_environment
    for file in "$@"; do
        if [ "$(cat "$(stamp_file "$file")" 2>/dev/null)" != "$(fingerprint "$file")" ]; then
            changed+=(-r "$file")
        fi
    done
    [ ${#changed[@]} -gt 0 ] || return 0
    echo "Installing ${changed[*]} into $("$PYTHON" -c 'import sys; print(sys.prefix)') (once; PyTorch is large)"
    "$PYTHON" -m pip install --disable-pip-version-check --no-input --quiet "${changed[@]}" </dev/null ||
        stop "the packages could not be installed; pip's message is above"
    for file in "$@"; do
        fingerprint "$file" >"$(stamp_file "$file")"
    done
}
