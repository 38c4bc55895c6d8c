#!/bin/sh
# Asks every broker in this container to stop.
found=
for process in /proc/[0-9]*; do
	[ "$(readlink "$process/exe" 2>/dev/null)" = /usr/local/bin/broker ] || continue
	case $(cat "$process/comm" 2>/dev/null) in
	broker | entrypoint) kill -TERM "${process#/proc/}" && found=yes ;;
	esac
done
[ -n "$found" ] || { echo "No kafka server to stop" >&2; exit 1; }
