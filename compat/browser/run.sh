#!/usr/bin/env bash
# The inspector in a real browser: headless Chromium, driven by Playwright, judged by axe-core.
#
#   compat/browser/run.sh [--broker BINARY] [--pictures DIRECTORY]
#
# --pictures writes the pictures of docs/inspector anew. Needs Go, Node and Chromium (its path in CHROMIUM; as root on Debian
# the package is installed). Exit status: 0 when every check passed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

broker='' pictures=''
while [ $# -gt 0 ]; do
	case $1 in
	--broker) broker=$(realpath "$2"); shift 2 ;;
	--pictures) mkdir -p "$2"; pictures=$(realpath "$2"); shift 2 ;;
	-h | --help) sed -n '2,7p' "$0"; exit 0 ;;
	*) echo "unknown option $1" >&2; exit 2 ;;
	esac
done

if [ -z "${CHROMIUM:-}" ] && ! command -v chromium chromium-browser >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
	apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null
fi
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
[ -n "$chromium" ] || { echo 'there is no Chromium: install the package chromium, or set CHROMIUM' >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/browser-$(sha256sum "$here/package-lock.json" | cut -c1-12)
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(
	flock 9 # one installation at a time
	[ -e "$cache/done" ] && exit
	cp "$here/package.json" "$here/package-lock.json" "$cache"
	(cd "$cache" && npm ci --silent --no-audit --no-fund)
	touch "$cache/done"
) 9>"$cache/lock"
if [ -z "$broker" ]; then
	broker=$work/broker
	(cd "$here/../.." && go build -o "$broker" ./cmd/broker)
fi
(cd "$here/../go" && go build -o "$work/members" ./members)
cp "$here"/*.mjs "$work"
ln -s "$cache/node_modules" "$work/node_modules"
cd "$work"
BROKER=$broker MEMBERS=$work/members CHROMIUM=$chromium PICTURES=$pictures timeout --kill-after=10 300 node --test --test-concurrency=3 ./*.test.mjs
