#!/usr/bin/env bash
# Every test that this machine can run. Runs all of them, then says which failed; exit status 1 when one did.
#
# The tests find what they need in the environment:
#   UCOPYD_BIN_DIR      the folder of ucopyd, ucopyctl and libkcopyd.so, built for debugging
#   UCOPYD_TEST_PYTHON  a Python with the PyPI package varlink
#   UCOPYD_TEST_ENGINE  the engine that the tests of the copy service use; unset: the best that the kernel allows
set -euo pipefail
cd "$(dirname "$0")/../.."

logs=.build/check
mkdir -p "$logs"
failed=()
# step SECONDS NAME COMMAND...: runs a command, keeps what it says, remembers its failure.
step() {
    local limit=$1 name=$2 begin=$SECONDS status=0 writer
    shift 2
    printf '\n== %s\n' "$name"
    exec 3> >(exec tee "$(log_of "$name")")
    writer=$!
    timeout --foreground --kill-after 10 "$limit" "$@" >&3 2>&1 3>&- || status=$?
    ((status != 124 && status != 137)) || echo "$name: stopped after $((SECONDS - begin)) seconds" >&3
    exec 3>&-
    # Whatever a command has left running may write on, but nobody waits for it.
    timeout 10 tail --pid="$writer" --sleep-interval=0.1 -f /dev/null || kill "$writer" 2> /dev/null || true
    if ((status == 0)); then
        echo "== $name: passed ($((SECONDS - begin)) s)"
    else
        echo "== $name: FAILED, status $status ($((SECONDS - begin)) s)"
        failed+=("$name")
    fi
}
# must SECONDS NAME COMMAND...: a step without which the others make no sense.
must() {
    step "$@"
    ((${#failed[@]} == 0)) || finish
}
log_of() { echo "$logs/$(tr -cs '[:alnum:]\n' - <<< "$1").log"; }

# Says how it went. Whoever sees only the end of all this is to see what failed and why: 40 lines at most, 24 if it is one step.
finish() {
    local name lines
    echo
    if ((${#failed[@]} == 0)); then
        echo "check: everything passed in $((SECONDS / 60)) minutes"
        exit 0
    fi
    lines=$((${#failed[@]} == 1 ? 20 : 36 / ${#failed[@]} - 1))
    printf 'check: %d failed after %d minutes:\n' "${#failed[@]}" $((SECONDS / 60))
    for name in "${failed[@]}"; do
        echo "  $name: all of it in $(log_of "$name")"
        python3 Tests/Scripts/failures.py "$(log_of "$name")" "$lines" || true
    done
    exit 1
}

make_venv() {
    local python=.build/venv/bin/python
    mkdir -p .build
    [[ -x $python ]] || python3 -m venv .build/venv
    "$python" -c 'import varlink' 2> /dev/null || "$python" -m pip install --quiet --disable-pip-version-check varlink
}

must 1200 "build for debugging" swift build --build-tests --quiet
# The tests of the programs and of the C library run what lies in this folder.
for product in ucopyd ucopyctl kcopyd; do
    must 900 "build $product" swift build --quiet --product "$product"
done
UCOPYD_BIN_DIR=$(swift build --show-bin-path)
export UCOPYD_BIN_DIR

export -f make_venv
must 300 "Python with varlink" bash -euc make_venv
UCOPYD_TEST_PYTHON=$PWD/.build/venv/bin/python
export UCOPYD_TEST_PYTHON

step 120 "format" make --no-print-directory lint
step 60 "manual pages" Tests/Scripts/manual-pages.sh
step 60 "options in --help and in the manual pages" python3 Tests/Scripts/options.py "$UCOPYD_BIN_DIR" Docs
step 900 "tests" swift test --skip-build
step 600 "tests, blocking engine" env UCOPYD_TEST_ENGINE=blocking \
    swift test --skip-build --filter 'KCopyTests|BlockIOTests'

# The sanitizers: the rooms that share memory between threads or give it to the kernel. The C library is built along with them; its
# own linking forbids undefined symbols, and a sanitizer's are only defined in programs. Linked by lld, for gold warns of hundreds of
# symbols.
sanitize() {
    local kind=$1 folder=$2
    shift 2
    swift test --quiet --sanitize="$kind" --scratch-path "$folder" -Xswiftc -use-ld=lld \
        -Xlinker --unresolved-symbols=ignore-all "$@" \
        --filter 'KCopyTests|BlockIOTests|VarlinkTests'
}
export -f sanitize
step 900 "tests, thread sanitizer" env TSAN_OPTIONS="suppressions=$PWD/Tests/Scripts/races.supp" \
    bash -c 'sanitize thread .build-tsan'
# Not on the stack: there the compiler's own code for comparing an optional number as AnyHashable, which #expect uses, reads its
# 9 bytes from a place that it declared as 8. No leaks: XCTest has some of its own, and so have services that a test leaves running.
step 900 "tests, address sanitizer" env ASAN_OPTIONS=detect_leaks=0 \
    bash -c 'sanitize address .build-asan -Xswiftc -Xllvm -Xswiftc -asan-stack=0'

finish
