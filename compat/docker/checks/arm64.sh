# The image for arm64, with ONCE_ARM64=1: built from a stand-in of its base, and run under an emulator of the processor. It
# compiles everything for arm64, which takes minutes. Sourced by run.sh.

arm64_packages() { # the emulator, and busybox for arm64 from the system's packages, in $work/arm
	command -v qemu-aarch64-static >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends qemu-user-static >"$work/apt" 2>&1 ||
		fail 'the package qemu-user-static cannot be installed' || return 1
	mkdir -p "$work/arm/lists/partial" "$work/arm/cache/archives/partial" "$work/arm/tree/bin"
	local options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::lists="$work/arm/lists" -o Dir::Cache="$work/arm/cache")
	(cd "$work/arm" && apt-get "${options[@]}" update && apt-get "${options[@]}" download busybox-static && dpkg -x busybox-static_*.deb unpacked) >"$work/apt" 2>&1 ||
		fail 'busybox-static for arm64 cannot be had'
}
arm64() {
	arm64_packages || return 1
	local tree="$work/arm/tree" base="$prefix-arm64-base" built="$prefix-arm64"
	cp "$work"/arm/unpacked/bin/busybox "$tree/bin/" 2>/dev/null || cp "$work"/arm/unpacked/usr/bin/busybox "$tree/bin/" || return 1
	qemu-aarch64-static "$tree/bin/busybox" --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$tree/bin/$applet"; done
	tar -C "$tree" -c . | docker import --platform linux/arm64 --change 'ENV PATH=/bin' - "$base" >/dev/null || return 1
	(cd "$root" && CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -ldflags='-s -w' -o bin/image/broker-arm64 ./cmd/broker &&
		docker build -q --build-arg BASE="$base" --build-arg BINARY=bin/image/broker-arm64 -t "$built" .) >/dev/null || return 1
	docker run -d --name "$c" -v "$(command -v qemu-aarch64-static):/qemu:ro" --entrypoint /qemu "$built" /usr/local/bin/broker >/dev/null && wait_for "$c" 'Kafka Server started' &&
		echo one | docker exec -i "$c" /qemu /usr/local/bin/broker console-producer --bootstrap-server localhost:9092 --topic orders &&
		[ "$(docker exec "$c" /qemu /usr/local/bin/broker console-consumer --bootstrap-server localhost:9092 --topic orders --from-beginning --max-messages 1 2>/dev/null)" = one ]
	local status=$?
	echo "figure: the image for arm64 has $(docker image inspect -f '{{.Size}}' "$built") bytes"
	docker rm -fv "$c" >/dev/null
	docker rmi "$built" "$base" >/dev/null
	return $status
}

[ -z "${ONCE_ARM64:-}" ] || check 'the image for arm64, under an emulator' arm64
