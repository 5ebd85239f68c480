#!/usr/bin/env bash
# Usage: build.sh KIT TESTS WORK: compiles kit and server against the assemblies of the runtime.
set -eu
kit=$1 tests=$2 work=$3
references=()
for assembly in "$work"/unpacked/dotnetcore2/bin/shared/Microsoft.NETCore.App/*/{System.*,mscorlib,netstandard}.dll; do
    references+=("-r:$assembly")
done
mcs -nologo -nostdlib -noconfig -warn:0 -out:"$work/server.dll" "${references[@]}" "$kit/PortvaktVerifier.cs" "$tests/Server.cs"
echo '{"runtimeOptions":{"framework":{"name":"Microsoft.NETCore.App","version":"3.1.0"}}}' >"$work/server.runtimeconfig.json"
