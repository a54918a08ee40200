#!/bin/sh
# Rebuilds the held-out kernels from the C sources beside them: benches/corpus/build-kernels.sh [OUTPUT_DIRECTORY]
#
# Needs from Debian: clang-19, lld-19, wasi-libc and libclang-rt-19-dev-wasm32. CC names another compiler, WASI_INCLUDE another
# directory of wasi-libc headers. The same compiler and libc give the same bytes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:-$here/kernels}" && cd "${1:-$here/kernels}" && pwd)
cc=${CC:-clang-19}
libc_include=${WASI_INCLUDE:-/usr/include/wasm32-wasi}
cd "$here/kernels"

for source in *.c; do
    name=${source%.c}
    # The one kernel with vectors.
    vectors=
    [ "$name" = blur ] && vectors=-msimd128
    # No -O at link time: with it clang 19 runs a wasm-opt that it finds on PATH.
    "$cc" --target=wasm32-wasi -O2 -std=gnu11 -Wall -Wextra -Wno-sign-compare $vectors -mbulk-memory -mnontrapping-fptoint \
        -msign-ext -nostdlibinc -isystem "$libc_include" -c "$source" -o "$out/$name.o"
    "$cc" --target=wasm32-wasi -nostartfiles -Wl,--no-entry -Wl,--strip-debug -Wl,--stack-first "$out/$name.o" -o "$out/$name.wasm"
    rm "$out/$name.o"
    chmod 644 "$out/$name.wasm"
done
(cd "$out" && sha256sum -- *.wasm)
