#!/usr/bin/env bash
# Testcontainers for Go: its Kafka module and its generic container, with franz-go. See ../README.md.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
expression=''
[ "${1:-}" != -k ] || expression=$2
out=$(mktemp)
trap 'rm -f "$out"' EXIT

go test -count=1 -v . -args -k "$expression" >"$out" 2>&1
status=$?
grep -E '^(ok|FAIL) go ' "$out"
passed=$(grep -c '^ok go ' "$out") failed=$(grep -c '^FAIL go ' "$out")
[ $status = 0 ] || { cat "$out"; [ "$failed" -gt 0 ] || failed=1; }
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
