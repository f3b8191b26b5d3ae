#!/usr/bin/env bash
# Looks for what should never be committed: private keys and tokens in the shapes that providers give them.
# A line that must show such a shape (a published test key, say) ends in `secret-scan: allow` and why.
set -euo pipefail
cd "$(dirname "$0")/.."

shapes=(
  '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----'
  '(AKIA|ASIA)[0-9A-Z]{16}'
  '(sk|rk)_live_[0-9A-Za-z]{16,}'
  'pat-(na|eu)[0-9]-[0-9a-f]{8}-[0-9a-f]{4}'
  'gh[pousr]_[0-9A-Za-z]{36}'
  'github_pat_[0-9A-Za-z_]{40,}'
  'xox[abprs]-[0-9]{10,}-'
  'SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}'
  '00D[0-9A-Za-z]{12,15}![0-9A-Za-z._]{60,}'
  'AIza[0-9A-Za-z_-]{35}'
)
pattern=$(IFS='|'; printf '%s' "${shapes[*]}")

# This file holds the shapes themselves.
found=$(git grep -nIE -e "$pattern" -- . ':!tests/secret-scan.sh' | grep -v 'secret-scan: allow' || true)
if [ -n "$found" ]; then
  # The place, not the secret: this output ends up in logs.
  printf '%s\n' "$found" | cut -d: -f1,2 | sed 's/$/: looks like a secret/'
  exit 1
fi
echo "$(git ls-files | wc -l) files, no secret"
