#!/bin/sh
# Rebuilds the WASI command modules of this directory from three Debian source packages and from our drivers in src/.
#
#   benches/corpus/programs/build.sh [OUTPUT_DIRECTORY]      (default: this directory)
#
# Needs apt-get with a deb-src line for Debian 12, dpkg-source and, from Debian: clang-19, lld-19, wasi-libc and
# libclang-rt-19-dev-wasm32. CC names another compiler, WASI_INCLUDE another directory of wasi-libc headers, SOURCES a directory that
# has the packages' files already. The same compiler and libc give the same bytes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)
cc=${CC:-clang-19}
libc_include=${WASI_INCLUDE:-/usr/include/wasm32-wasi}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export LC_ALL=C TZ=UTC

cd "$work"
if [ -n "${SOURCES:-}" ]; then
    cp "$SOURCES"/*.tar.* "$SOURCES"/*.dsc .
else
    apt-get source --download-only picosat=965-2 cmark=0.30.2-6 brotli=1.0.9-2
fi
sha256sum --check --quiet <<'SUMS'
15169b4f28ba8f628f353f6f75a100845cdef4a2244f101a02b6e5a26e46a754  picosat_965.orig.tar.gz
6c7d2bcaea1433d977d8fed0b55b71c9d045a7cdf616e3cd2dce9007da753db3  cmark_0.30.2.orig.tar.gz
f9e8d81d0405ba66d181529af42a3354f838c939095ff99930da6aa9cdf6fe46  brotli_1.0.9.orig.tar.gz
SUMS
for package in picosat_965-2 cmark_0.30.2-6 brotli_1.0.9-2; do
    dpkg-source --no-check -x "$package.dsc" "${package%%_*}" >/dev/null
done
cp -r "$here/src" driver

# What cmark's CMake files make.
cat >driver/config.h <<'C'
#define HAVE_STDBOOL_H
#include <stdbool.h>
#define HAVE___BUILTIN_EXPECT
#define HAVE___ATTRIBUTE__
#define CMARK_ATTRIBUTE(list) __attribute__(list)
#define CMARK_INLINE inline
C
cat >driver/cmark_export.h <<'C'
#define CMARK_EXPORT
C
cat >driver/cmark_version.h <<'C'
#define CMARK_VERSION ((0 << 16) | (30 << 8) | 2)
#define CMARK_VERSION_STRING "0.30.2"
C

target="--target=wasm32-wasi -O2 -std=gnu11 -mbulk-memory -mnontrapping-fptoint -w -nostdlibinc -isystem $libc_include"
link="--target=wasm32-wasi -Wl,--strip-debug -Wl,--stack-first -Wl,-z,stack-size=1048576"

# build NAME FLAGS -- SOURCES: each path is relative to $work.
build() {
    name=$1 flags=$2
    shift 3
    mkdir -p "$name.objects"
    objects=
    count=0
    for source in "$@"; do
        object="$name.objects/$(printf %02d $count)-$(basename "$source" .c).o"
        # shellcheck disable=SC2086
        "$cc" $target $flags "-ffile-prefix-map=$work=." -c "$source" -o "$object"
        objects="$objects $object"
        count=$((count + 1))
    done
    # No -O at link time: with it clang 19 runs a wasm-opt that it finds on PATH.
    # shellcheck disable=SC2086
    "$cc" $link $objects -o "$out/$name.wasm"
    chmod 644 "$out/$name.wasm"
    if strings "$out/$name.wasm" | grep -E "$work|$HOME/|/home/|/tmp/tmp\."; then
        echo "$name.wasm names a path of this machine" >&2
        exit 1
    fi
}

build picosat "-Ipicosat -DNDEBUG -DNGETRUSAGE -DNALARM" -- picosat/picosat.c driver/picosat_main.c

build cmark "-Icmark/src -Idriver -DNDEBUG" \
    -- cmark/src/blocks.c cmark/src/buffer.c cmark/src/cmark.c cmark/src/cmark_ctype.c cmark/src/commonmark.c \
    cmark/src/houdini_href_e.c cmark/src/houdini_html_e.c cmark/src/houdini_html_u.c cmark/src/html.c cmark/src/inlines.c \
    cmark/src/iterator.c cmark/src/latex.c cmark/src/man.c cmark/src/node.c cmark/src/references.c cmark/src/render.c \
    cmark/src/scanners.c cmark/src/utf8.c cmark/src/xml.c driver/cmark_main.c

# shellcheck disable=SC2046
build brotli "-Ibrotli/c/include" \
    -- $(ls brotli/c/common/*.c brotli/c/dec/*.c brotli/c/enc/*.c) driver/brotli_main.c

(cd "$out" && sha256sum brotli.wasm cmark.wasm picosat.wasm)
