#!/usr/bin/env bash
# Holds the contracts to their promises: linted, formatted, nothing broken since the version before, generated code in step.
set -euo pipefail
cd "$(dirname "$0")"
buf=../.venv/bin/buf

"$buf" lint
"$buf" format --diff --exit-code >/dev/null || { echo "protos: not formatted; run: make format" >&2; exit 1; }

# Each of the versions before: a change that breaks is not mended by one that follows it. An uncommitted change has its
# HEAD among them, a commit that touched the contracts does not compare with itself.
VERSIONS=6
earlier=$(git rev-list -$((VERSIONS + 1)) HEAD -- gongji)
if [ -z "$(git status --porcelain -- gongji)" ]; then earlier=$(tail -n +2 <<<"$earlier"); fi
before=$(mktemp -d) fresh=$(mktemp -d)
trap 'rm -rf "$before" "$fresh"' EXIT
count=0
for base in $earlier; do
  git cat-file -e "$base:protos/buf.yaml" 2>/dev/null || continue
  mkdir "$before/$base"
  git -C .. archive "$base" protos | tar -x -C "$before/$base"
  "$buf" breaking --against "$before/$base/protos" || { echo "protos: a breaking change against $base; make a new field or a new topic -v2" >&2; exit 1; }
  count=$((count + 1))
done
echo "protos: nothing broken since any of $count earlier versions"

./generate.sh "$fresh"
diff -r --exclude=__pycache__ --exclude='*.egg-info' "$fresh" gen >/dev/null || { echo "protos: gen/ is not what the contracts say; run: make protos" >&2; exit 1; }
echo "protos: generated code is in step"

../.venv/bin/python -m gongji_local.topic_docs --protos . "$fresh/docs"
for document in "$fresh"/docs/*; do
  cmp -s "$document" "docs/${document##*/}" || { echo "protos: docs/ is not what topics and contracts say; run: make topics-docs" >&2; exit 1; }
done
echo "protos: documents of the topics are in step"
