#!/usr/bin/env bash
# Checks the rules for Prometheus with promtool: that they can be read, and that each alert fires on what it has to and is
# silent on what looks much like it. promtool is built from its Go module once, pinned by promtool/go.sum, and kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
module=github.com/prometheus/prometheus
version=$(awk -v module="$module" '$1 == module {print $2}' "$here/promtool/go.mod")
promtool=${XDG_CACHE_HOME:-$HOME/.cache}/gongji/promtool-$version
if ! test -x "$promtool"; then
  command -v go >/dev/null || { echo "make rules-check needs Go 1.26 or later, to build promtool once; there is no go" >&2; exit 1; }
  echo "rules-check: building promtool $version, which takes some minutes the first time"
  mkdir -p "$(dirname "$promtool")"
  # Without service discovery, which no rule needs and which is most of its code.
  (cd "$here/promtool" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -ldflags "-s -w" -tags remove_all_sd \
    -o "$promtool.$$" "$module/cmd/promtool")
  mv "$promtool.$$" "$promtool"
fi
"$promtool" check rules --lint=all --lint-fatal "$here/rules/gongji.rules.yaml"
"$promtool" check rules --lint=none "$here/rules/gongji.dashboards.yaml" # what dashboards ask can be read, too
"$promtool" test rules "$here"/rules/gongji.*tests.yaml
