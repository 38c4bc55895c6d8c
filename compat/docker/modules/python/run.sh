#!/usr/bin/env bash
# Testcontainers for Python: its Kafka module, with ZooKeeper as by default and with KRaft, and its DockerContainer,
# with confluent-kafka. See ../README.md.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../../../..
expression=''
[ "${1:-}" != -k ] || expression=$2
. "$here/env.sh"
PYTHONDONTWRITEBYTECODE=1 exec python "$here/checks.py" "$expression"
