#!/usr/bin/env bash
# Usage: install.sh WORK: a .NET runtime from PyPI (dotnetcore2 carries .NET Core 3.1, the newest there), and the OpenSSL
# 1.1 that it needs, which Debian has no more, out of the wheel of psycopg2. The compiler is Debian's mono-mcs.
set -eu
work=$1
mkdir -p "$work/wheels" "$work/openssl"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work/wheels" dotnetcore2==3.1.23
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.10 \
    --dest "$work/wheels" psycopg2-binary==2.9.5
(cd "$work" && for wheel in wheels/*.whl; do python3 -m zipfile -e "$wheel" unpacked; done)
chmod +x "$work/unpacked/dotnetcore2/bin/dotnet"
cp "$work"/unpacked/psycopg2_binary.libs/* "$work/openssl/"
ln -sf "$(cd "$work/openssl" && ls libssl-*.so.1.1)" "$work/openssl/libssl.so.1.1"
