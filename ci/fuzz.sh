#!/usr/bin/env bash
# Fuzzes each target for so many seconds (default: 60), or keeps of what was found whatever reaches
# code that no kept input reaches. Needs cargo-fuzz, which it installs into target/tools if there is
# none, and a C++ compiler.
#
#   bash ci/fuzz.sh [seconds]
#   bash ci/fuzz.sh keep
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-60}
export PATH="$PWD/target/tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet --root target/tools
# cargo-fuzz asks the compiler for coverage counters, which a stable one gives only when told to.
export RUSTC_BOOTSTRAP=1
# Thousands of small files a second: in memory where there is such a folder.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
for target in $(cargo fuzz list); do
    # What is kept in seeds/ is where it starts; what it finds goes to corpus/.
    found=fuzz/corpus/$target kept=fuzz/seeds/$target
    mkdir -p "$found" "$kept"
    if [ "$what" = keep ]; then
        # As few as reach all edges, however often each is passed.
        cargo fuzz run --sanitizer none "$target" "$kept" "$found" -- \
            -set_cover_merge=1 -use_counters=0 -verbosity=0
        echo "fuzz: $target: $(ls "$kept" | wc -l) inputs are kept"
    else
        echo "fuzz: $target for $what s"
        # In CI from the same start each time: what comes by chance is for longer runs.
        cargo fuzz run --sanitizer none "$target" "$found" "$kept" -- ${CI:+-seed=1} \
            -max_total_time="$what" -verbosity=0 -print_final_stats=1 2>&1 | tail -n 6
    fi
done
