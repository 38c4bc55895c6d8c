#!/usr/bin/env bash
# A Docker engine and the image's two base images, on a machine that may have neither.
#
#   engine.sh start   use the engine that answers, else install one from the system's packages and start it;
#                     prints DOCKER_HOST=… and STARTED=yes or no
#   engine.sh bases   see that golang:1.26 and busybox:1.37-musl are there: pulled, or else stand-ins made of this machine's
#                     own toolchain and of the package busybox-static
#   engine.sh stop    end the engine that start has started
#
# ONCE_ENGINE_DIR (default ${TMPDIR:-/tmp}/once-docker) holds the engine's data. Its containers have addresses of
# 198.18.0.0/15, which is for tests of networks. Exit status 69: no engine can be had here.
set -euo pipefail

dir=${ONCE_ENGINE_DIR:-${TMPDIR:-/tmp}/once-docker}
own=unix://$dir/docker.sock
readonly unavailable=69

answers() { docker version >/dev/null 2>&1; }

give_up() {
	echo "no Docker engine: $1" >&2
	exit $unavailable
}

# answer prints how to reach the engine.
answer() { printf 'DOCKER_HOST=%s\nSTARTED=%s\n' "$1" "$2"; }

install_engine() {
	command -v dockerd >/dev/null 2>&1 && return
	command -v apt-get >/dev/null 2>&1 || give_up 'there is no apt-get to install one with'
	[ "$(id -u)" = 0 ] || give_up 'installing one needs root'
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io iptables; } \
		>"$dir/install.log" 2>&1 || give_up "the package docker.io cannot be installed: $(tail -1 "$dir/install.log")"
	hash -r
}

start() {
	if command -v docker >/dev/null 2>&1 && answers; then
		answer "${DOCKER_HOST:-unix:///var/run/docker.sock}" no
		return
	fi
	mkdir -p "$dir"
	export DOCKER_HOST=$own
	if [ -S "$dir/docker.sock" ] && answers; then
		answer "$own" no # whoever has started it stops it
		return
	fi
	install_engine
	rm -f "$dir/docker.sock" "$dir/engine.pid"
	setsid dockerd --host "$own" --pidfile "$dir/engine.pid" --data-root "$dir/data" --exec-root "$dir/run" \
		--bip 198.18.32.1/24 --default-address-pool base=198.18.64.0/18,size=24 >"$dir/engine.log" 2>&1 </dev/null &
	local tries
	for tries in $(seq 150); do
		answers && break
		kill -0 $! 2>/dev/null || break
		sleep 0.2
	done
	answers || give_up "it does not start: $(grep -iE 'fail|error' "$dir/engine.log" | tail -1)"
	answer "$own" yes
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

make_busybox() {
	local tree=$1
	mkdir -p "$tree/bin" "$tree/tmp" "$tree/root" "$tree/etc"
	(cd "$tree/.." && apt-get update >/dev/null 2>&1; cd "$tree/.." && apt-get download busybox-static >/dev/null 2>&1 &&
		dpkg -x busybox-static_*.deb unpacked) || give_up 'the package busybox-static cannot be had'
	cp "$tree"/../unpacked/bin/busybox "$tree"/bin/ 2>/dev/null || cp "$tree"/../unpacked/usr/bin/busybox "$tree"/bin/
	"$tree/bin/busybox" --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$tree/bin/$applet"; done
	tar -C "$tree" -c . | docker import --change 'ENV PATH=/bin' --change 'CMD ["sh"]' - busybox:1.37-musl >/dev/null
}

make_golang() { # TREE of the busybox
	local tree=$1
	mkdir -p "$tree/usr/local" "$tree/etc/ssl/certs"
	cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
	cp -r "$(go env GOROOT)" "$tree/usr/local/go"
	tar -C "$tree" -c . | docker import --change 'ENV PATH=/usr/local/go/bin:/bin' --change 'ENV GOTOOLCHAIN=local' - golang:1.26 >/dev/null
}

bases() {
	local image
	for image in golang:1.26 busybox:1.37-musl; do
		has_image $image || timeout 120 docker pull -q $image >/dev/null 2>&1 || true
	done
	if ! has_image busybox:1.37-musl || ! has_image golang:1.26; then
		local work
		work=$(mktemp -d)
		make_busybox "$work/tree"
		has_image golang:1.26 || make_golang "$work/tree"
		rm -rf "$work"
		echo 'base images: stand-ins, made of this machine'
	fi
}

case ${1:-} in
start | bases) "$1" ;;
stop)
	[ -e "$dir/engine.pid" ] || exit 0
	pid=$(cat "$dir/engine.pid")
	kill "$pid"
	for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done # the next start must not find it dying
	;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
