#!/usr/bin/env bash
# Every manual page under Docs is free of what mandoc warns about.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t pages < <(find Docs -name '*.[1-8]' | sort)
((${#pages[@]})) || { echo "manual-pages: Docs: no manual page" >&2; exit 1; }
mandoc -T lint -W warning "${pages[@]}"
echo "${#pages[@]} pages"
