#!/usr/bin/env bash
# Every test that this machine can run. Runs all of them, then says which failed; exit status 1 when one did.
#
# The tests find what they need in the environment:
#   UCOPYD_BIN_DIR      the folder of ucopyd, ucopyctl and libkcopyd.so, built for debugging
#   UCOPYD_TEST_PYTHON  a Python with the PyPI package varlink
#   UCOPYD_TEST_ENGINE  the engine that the tests of the copy service use; unset: the best that the kernel allows
set -euo pipefail
cd "$(dirname "$0")/../.."

failed=()
# step SECONDS NAME COMMAND...: runs a command, remembers its failure.
step() {
    local limit=$1 name=$2 begin=$SECONDS status=0
    shift 2
    printf '\n== %s\n' "$name"
    timeout --foreground --kill-after 10 "$limit" "$@" || status=$?
    ((status != 124)) || echo "$name: stopped after $limit seconds"
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
    ((${#failed[@]} == 0)) || exit 1
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

printf '\n== Python with varlink\n'
make_venv || { echo "check: .build/venv: cannot install the Python package varlink" >&2; exit 1; }
UCOPYD_TEST_PYTHON=$PWD/.build/venv/bin/python
export UCOPYD_TEST_PYTHON

step 120 "format" make --no-print-directory lint
step 60 "manual pages" Tests/Scripts/manual-pages.sh
step 60 "options in --help and in the manual pages" python3 Tests/Scripts/options.py "$UCOPYD_BIN_DIR" Docs
step 900 "tests" swift test --skip-build
step 600 "tests, blocking engine" env UCOPYD_TEST_ENGINE=blocking \
    swift test --skip-build --filter 'KCopyTests|BlockIOTests'

# The sanitizers: the rooms that share memory between threads or give it to the kernel. The C library is built along with them; its
# own linking forbids undefined symbols, and a sanitizer's are only defined in programs.
sanitize() {
    local kind=$1 folder=$2
    shift 2
    swift test --quiet --sanitize="$kind" --scratch-path "$folder" -Xlinker --unresolved-symbols=ignore-all "$@" \
        --filter 'KCopyTests|BlockIOTests|VarlinkTests'
}
export -f sanitize
step 900 "tests, thread sanitizer" env TSAN_OPTIONS="suppressions=$PWD/Tests/Scripts/races.supp" \
    bash -c 'sanitize thread .build-tsan'
# Not on the stack: there the compiler's own code for comparing an optional number as AnyHashable, which #expect uses, reads its
# 9 bytes from a place that it declared as 8. No leaks: XCTest has some of its own, and so have services that a test leaves running.
step 900 "tests, address sanitizer" env ASAN_OPTIONS=detect_leaks=0 \
    bash -c 'sanitize address .build-asan -Xswiftc -Xllvm -Xswiftc -asan-stack=0'

echo
if ((${#failed[@]})); then
    printf 'check: %d failed after %d minutes:\n' "${#failed[@]}" $((SECONDS / 60))
    printf '  %s\n' "${failed[@]}"
    exit 1
fi
echo "check: everything passed in $((SECONDS / 60)) minutes"
