#!/usr/bin/env bash
# Testcontainers for Node: its Kafka module, in the three ways that it chooses by the image's tag, and its
# GenericContainer, with KafkaJS. See ../README.md.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
expression=''
[ "${1:-}" != -k ] || expression=$2
. "$here/env.sh"

# Installed where nothing of the repository is changed; anew when the lock file changes.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/modules-$(sha256sum "$here/package-lock.json" | cut -c1-12)
mkdir -p "$cache"
if [ ! -e "$cache/done" ]; then
	cp "$here"/package*.json "$cache"/
	npm ci --silent --ignore-scripts --prefix "$cache"
	touch "$cache/done"
fi
cp "$here"/*.js "$cache"/

export ONCE_OLD_IMAGE=${ONCE_IMAGE%:*}:7.2.0
docker tag "$ONCE_IMAGE" "$ONCE_OLD_IMAGE"
status=0
node "$cache/checks.js" "$expression" || status=$?
docker rmi "$ONCE_OLD_IMAGE" >/dev/null 2>&1 || true
exit $status
