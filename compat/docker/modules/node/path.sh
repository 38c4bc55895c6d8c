#!/usr/bin/env bash
# Prints the directory of a Node that Testcontainers for Node 12 can use: the system's, or where that is older, the one in
# the npm package node.
set -eu
has() { "$1/node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a == 22 && b >= 22) ? 0 : 1)'; }

system=$(dirname "$(command -v node)")
if ! has "$system"; then
	version=22.22.0
	own=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/node-$version
	if ! has "$own/node_modules/.bin" 2>/dev/null; then
		rm -rf "$own" && mkdir -p "$own" && npm install --silent --no-save --prefix "$own" "node@$version" >&2
	fi
	system=$own/node_modules/.bin
fi
echo "$system"
