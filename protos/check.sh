#!/usr/bin/env bash
# Holds the contracts to their promises: linted, formatted, nothing broken since the version before, generated code in step.
set -euo pipefail
cd "$(dirname "$0")"
buf=../.venv/bin/buf

"$buf" lint
"$buf" format --diff --exit-code >/dev/null || { echo "protos: not formatted; run: make format" >&2; exit 1; }

# The version before is the uncommitted change's HEAD, else the parent of the last commit that touched the contracts.
if [ -n "$(git status --porcelain -- gongji)" ]; then
  base=$(git rev-parse -q --verify HEAD || true)
else
  base=$(git rev-parse -q --verify "$(git rev-list -1 HEAD -- gongji)^" || true)
fi
if [ -n "$base" ] && git cat-file -e "$base:protos/buf.yaml" 2>/dev/null; then
  before=$(mktemp -d)
  trap 'rm -rf "$before"' EXIT
  git -C .. archive "$base" protos | tar -x -C "$before"
  "$buf" breaking --against "$before/protos" || { echo "protos: a breaking change against $base; make a new field or a new topic -v2" >&2; exit 1; }
  echo "protos: nothing broken since ${base:0:12}"
else
  echo "protos: no earlier version to compare with"
fi

fresh=$(mktemp -d)
trap 'rm -rf "${before:-}" "$fresh"' EXIT
./generate.sh "$fresh"
diff -r --exclude=__pycache__ --exclude='*.egg-info' "$fresh" gen >/dev/null || { echo "protos: gen/ is not what the contracts say; run: make protos" >&2; exit 1; }
echo "protos: generated code is in step"
