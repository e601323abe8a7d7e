#!/usr/bin/env bash
# Looks for bytes from outside that break a property of tests/src/fuzz.rs, led by what they reach: each target for a while. What
# is found lies in tests/fuzz/artifacts. Installs cargo-fuzz into target/tools where it is missing; needs a C++ compiler.
# `tests/run.sh` holds the same properties against bytes at random.
#
#   tests/fuzz.sh [seconds a target, default 600] [target ...]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
[ $# -gt 0 ] && shift
tools=$PWD/target/tools
PATH=$tools/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --debug --root "$tools" cargo-fuzz --version 0.13.2

# The versions that everything else is built with.
cp Cargo.lock tests/fuzz/Cargo.lock
# The sanitizers want a compiler of another channel; what leads the search does not.
export RUSTC_BOOTSTRAP=1 SQLX_OFFLINE=true CARGO_TARGET_DIR=$PWD/target/fuzz
fuzz() { cargo fuzz "$1" --fuzz-dir tests/fuzz --sanitizer none "${@:2}"; }
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir tests/fuzz)
for target in "${targets[@]}"; do
    corpus=$(mktemp -d)
    # A request's body is no larger than 64 KiB, and no input makes more than a few times as much of itself.
    fuzz run "$target" "$corpus" "tests/fuzz/corpus/$target" -- -max_total_time="$seconds" -max_len=65536 \
        -rss_limit_mb=512 -malloc_limit_mb=16 -print_final_stats=1
    rm -rf "$corpus"
done
