#!/bin/sh
# kafka-server-start.sh [-daemon] FILE [--override NAME=VALUE]...
daemon=
[ "${1:-}" != -daemon ] || { daemon=yes; shift; }
[ $# -gt 0 ] || { echo "USAGE: $0 [-daemon] server.properties [--override property=value]*" >&2; exit 1; }
config=$1
shift
while [ $# -gt 1 ] && [ "$1" = --override ]; do
	overrides="${overrides:-} --set $2"
	shift 2
done
# shellcheck disable=SC2086 # a value with a space cannot be given so, in Kafka's script neither
if [ -n "$daemon" ]; then
	broker start --config "$config" ${overrides:-} >/opt/kafka/logs/kafkaServer.out 2>&1 </dev/null &
else
	exec broker start --config "$config" ${overrides:-}
fi
