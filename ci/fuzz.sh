#!/usr/bin/env bash
# Fuzzes each target for so many seconds (default: 60). Needs cargo-fuzz, which it installs into
# target/tools if there is none, and a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
export PATH="$PWD/target/tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet --root target/tools
# cargo-fuzz asks the compiler for coverage counters, which a stable one gives only when told to.
export RUSTC_BOOTSTRAP=1
# Thousands of small files a second: in memory where there is such a folder.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
for target in $(cargo fuzz list); do
    echo "fuzz: $target for $seconds s"
    # What is kept in seeds/ is where it starts; what it finds goes to corpus/.
    corpus=(fuzz/corpus/"$target")
    mkdir -p "${corpus[0]}"
    [ -d "fuzz/seeds/$target" ] && corpus+=("fuzz/seeds/$target")
    # In CI from the same start each time: what comes by chance is for longer runs.
    cargo fuzz run --sanitizer none "$target" "${corpus[@]}" -- ${CI:+-seed=1} \
        -max_total_time="$seconds" -verbosity=0 -print_final_stats=1 2>&1 | tail -n 6
done
