#!/usr/bin/env bash
# Checks everything: style, types, tests. Sets up what it needs; runs anywhere, needs no GPU and no data.
#
#   scripts/test.sh [arguments for pytest, such as tests/test_memory.py or -k name]
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

failed=()
report=()

part() { # NAME COMMAND...
    local name=$1 start=$SECONDS verdict=passed
    shift
    echo
    echo "== $name"
    "$@" || { verdict=FAILED && failed+=("$name"); }
    report+=("$(printf '%-8s %-7s %4d s' "$name" "$verdict" $((SECONDS - start)))")
}

part set-up set_up requirements.txt inference/web/requirements.txt tests/requirements.txt
part style "$PYTHON" -m ruff check .
part types "$PYTHON" -m mypy
# All tests: side by side. A few that were asked for are sooner done by one process.
[ $# -gt 0 ] || set -- --numprocesses auto --maxprocesses 8 --dist worksteal
part tests "$PYTHON" -m pytest "$@"

echo
printf '%s\n' "${report[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
