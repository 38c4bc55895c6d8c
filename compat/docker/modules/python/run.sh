#!/usr/bin/env bash
# Testcontainers for Python: its Kafka module, with ZooKeeper as by default and with KRaft, and its DockerContainer, with
# confluent-kafka. See ../README.md.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
expression=''
[ "${1:-}" != -k ] || expression=$2

# The environment is made anew when requirements.txt changes.
wanted=$here/requirements.txt
venv=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/modules-$(sha256sum "$wanted" | cut -c1-12)
if [ ! -e "$venv/done" ]; then
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" --quiet --disable-pip-version-check install -r "$wanted"
	touch "$venv/done"
fi
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$here/checks.py" "$expression"
