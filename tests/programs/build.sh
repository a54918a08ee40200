#!/bin/sh
# Rebuilds the WASI command modules of this directory from the C sources that
# four pinned crates ship, and from our drivers in src/.
#
#   tests/programs/build.sh [OUTPUT_DIRECTORY]      (default: this directory)
#
# Needs cargo, python3, strings and, from Debian: clang-19, lld-19, wasi-libc and
# libclang-rt-19-dev-wasm32. CC names another compiler, WASI_INCLUDE another
# directory of wasi-libc headers. The same compiler and libc give the same
# bytes: sources are compiled under relative names, in a fixed order, without
# debug information.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)
cc=${CC:-clang-19}
libc_include=${WASI_INCLUDE:-/usr/include/wasm32-wasi}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export LC_ALL=C TZ=UTC

# Fetches the crates and copies each one's source to $work/<name>.
fetch_sources() {
    mkdir -p "$work/fetch/src"
    : >"$work/fetch/src/lib.rs"
    cat >"$work/fetch/Cargo.toml" <<'TOML'
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
bzip2-sys = "=0.1.13"
libsqlite3-sys = "=0.39.1"
lua-src = "=551.1.0"
rquickjs-sys = "=0.14.0"
[workspace]
TOML
    cargo metadata --quiet --format-version 1 --manifest-path "$work/fetch/Cargo.toml" \
        >"$work/metadata.json"
    python3 - "$work" <<'PY'
import json, os, shutil, sys
work = sys.argv[1]
wanted = {"bzip2-sys", "libsqlite3-sys", "lua-src", "rquickjs-sys"}
for package in json.load(open(os.path.join(work, "metadata.json")))["packages"]:
    if package["name"] in wanted:
        shutil.copytree(os.path.dirname(package["manifest_path"]), os.path.join(work, package["name"]))
PY
    cp -r "$here/src" "$work/driver"
}

# bulk-memory and nontrapping-fptoint are what current C and Rust toolchains
# switch on by default. A trap on stack overflow instead of overwritten data
# needs --stack-first. No -O at link time: with it clang 19 runs a wasm-opt it
# finds on PATH, which drops the name section, and its --no-wasm-opt skips the
# link as well. The host's /usr/include is on clang's default path, so that the
# libc headers are named here.
target="--target=wasm32-wasi -O2 -std=gnu11 -mbulk-memory -mnontrapping-fptoint -w -nostdlibinc -isystem $libc_include"
link="--target=wasm32-wasi -Wl,--strip-debug -Wl,--stack-first -Wl,-z,stack-size=1048576"

# build NAME LIBRARIES FLAGS -- SOURCES: each path is relative to $work.
build() {
    name=$1 libraries=$2 flags=$3
    shift 4
    mkdir -p "$work/$name.objects"
    objects=
    count=0
    cd "$work"
    for source in "$@"; do
        object="$name.objects/$(printf %02d $count)-$(basename "$source" .c).o"
        # shellcheck disable=SC2086
        "$cc" $target $flags "-ffile-prefix-map=$work=." -c "$source" -o "$object"
        objects="$objects $object"
        count=$((count + 1))
    done
    # shellcheck disable=SC2086
    "$cc" $link $objects $libraries -o "$out/$name.wasm"
    chmod 644 "$out/$name.wasm"
    if strings "$out/$name.wasm" | grep -E "$work|$HOME/|/home/|/tmp/tmp\.|\.cargo"; then
        echo "$name.wasm names a path of this machine" >&2
        exit 1
    fi
    cd "$here"
}

fetch_sources

# The unix-none VFS takes no file locks, which WASI cannot express, and without
# randomness the same script gives the same bytes.
build sqlite "-lwasi-emulated-getpid" \
    "-Ilibsqlite3-sys/sqlite3 -include driver/sqlite_wasi.h -D_WASI_EMULATED_GETPID
     -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DSQLITE_OMIT_SHARED_CACHE
     -DSQLITE_DEFAULT_UNIX_VFS=\"unix-none\" -DSQLITE_MAX_MMAP_SIZE=0 -DSQLITE_TEMP_STORE=3
     -DSQLITE_DQS=0 -DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_RANDOMNESS
     -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_MATH_FUNCTIONS
     -DHAVE_ISNAN=1" \
    -- libsqlite3-sys/sqlite3/sqlite3.c driver/sqlite_main.c

lua=lua-src/lua-5.4.9
build lua "-lwasi-emulated-signal -lwasi-emulated-process-clocks" \
    "-I$lua -Idriver/stub -include driver/lua_wasi.h -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS" \
    -- $lua/lapi.c $lua/lauxlib.c $lua/lbaselib.c $lua/lcode.c $lua/lcorolib.c $lua/lctype.c \
    $lua/ldblib.c $lua/ldebug.c $lua/ldo.c $lua/ldump.c $lua/lfunc.c $lua/lgc.c $lua/linit.c \
    $lua/liolib.c $lua/llex.c $lua/lmathlib.c $lua/lmem.c $lua/loadlib.c $lua/lobject.c \
    $lua/lopcodes.c $lua/loslib.c $lua/lparser.c $lua/lstate.c $lua/lstring.c $lua/lstrlib.c \
    $lua/ltable.c $lua/ltablib.c $lua/ltm.c $lua/lundump.c $lua/lutf8lib.c $lua/lvm.c $lua/lzio.c \
    driver/lua_main.c

# The crate's own WASI build pretends to be Emscripten in the same way.
js=rquickjs-sys/quickjs
build quickjs "" \
    "-I$js -D_GNU_SOURCE -DEMSCRIPTEN=1 -DFE_DOWNWARD=0 -DFE_UPWARD=0" \
    -- $js/quickjs.c $js/libregexp.c $js/libunicode.c $js/dtoa.c driver/quickjs_main.c

bz=bzip2-sys/bzip2-1.0.8
build bzip2 "" "-I$bz -DBZ_NO_STDIO" \
    -- $bz/blocksort.c $bz/huffman.c $bz/crctable.c $bz/randtable.c $bz/compress.c \
    $bz/decompress.c $bz/bzlib.c driver/bzip2_main.c

(cd "$out" && sha256sum bzip2.wasm lua.wasm quickjs.wasm sqlite.wasm)
