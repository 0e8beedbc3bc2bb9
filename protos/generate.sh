#!/usr/bin/env bash
# Generates Python code from the contracts into the folder named (protos/gen when none is).
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-gen}
bin=../.venv/bin
mapfile -t contracts < <(find gongji -name '*.proto' | sort)
mapfile -t services < <(grep -lE '^service ' "${contracts[@]}")
rm -rf "${out:?}/gongji" "${out:?}/buf"
mkdir -p "$out"
"$bin/python" -m grpc_tools.protoc -I . -I vendor --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" \
  --python_out="$out" --mypy_out="quiet:$out" "${contracts[@]}" buf/validate/validate.proto
"$bin/python" -m grpc_tools.protoc -I . -I vendor --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" "${services[@]}"
