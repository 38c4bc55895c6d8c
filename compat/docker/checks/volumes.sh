# What a volume keeps, for whom. Sourced by run.sh.

# on_volume OPTIONS... starts the broker on the volume of this run.
on_volume() {
	docker run -d --name "$c" -v "$prefix-vol:/var/lib/kafka/data" "$@" >/dev/null && wait_for "$c" 'Kafka Server started'
}
killed() { docker kill "$c" >/dev/null && docker rm -v "$c" >/dev/null; }
as_other_users() {
	docker volume create "$prefix-vol" >/dev/null
	on_volume $image && produce "$c" orders one && killed &&
		on_volume --user 12345 $image && produce "$c" orders two && killed &&
		on_volume --user 0 $image && produce "$c" orders three && killed &&
		on_volume --user 999:999 $image && holds "$c" orders 'one two three'
	local status=$?
	docker rm -fv "$c" >/dev/null
	docker volume rm "$prefix-vol" >/dev/null
	return $status
}
after_an_upgrade() { # the next version is another image with the same program
	printf 'FROM %s\nLABEL org.opencontainers.image.version=8.1.1\nRUN echo 2 >/home/appuser/version\n' "$image" |
		docker build -q -t "$prefix-next" - >/dev/null || return 1
	docker volume create "$prefix-vol" >/dev/null
	on_volume $image && produce "$c" orders one && stops "$c" && docker rm -v "$c" >/dev/null &&
		on_volume "$prefix-next" && holds "$c" orders one && stops "$c" && docker rm -v "$c" >/dev/null &&
		on_volume $image && holds "$c" orders one
	local status=$?
	docker rm -fv "$c" >/dev/null
	docker volume rm "$prefix-vol" >/dev/null
	docker rmi "$prefix-next" >/dev/null
	return $status
}
not_by_this_user() { # one sentence: the user, the directory, what to do
	mkdir -p "$work/mine" && chmod 755 "$work/mine"
	docker run --name "$c" --user 12345 -v "$work/mine:/var/lib/kafka/data" $image 2>"$work/err" && return 1
	[ "$(grep -c '^broker: ' "$work/err")" = 1 ] && grep -q 'this process runs as user 12345; let that user own /var/lib/kafka/data, or run it as the owner' "$work/err" ||
		fail "$(cat "$work/err")"
}
held_by_another() { # two containers with one volume: the second one ends
	docker volume create "$prefix-vol" >/dev/null
	on_volume $image || return 1
	docker run --name "$prefix-b" -v "$prefix-vol:/var/lib/kafka/data" $image 2>"$work/err"
	[ $? = 3 ] && grep -q 'is in use by another broker' "$work/err" || fail "$(cat "$work/err")" || return 1
	docker rm -fv "$c" "$prefix-b" >/dev/null && docker volume rm "$prefix-vol" >/dev/null
}
healthy_by_the_kafka_port() {
	docker run -d --name "$c" -e KAFKA_LISTENERS=PLAINTEXT://:19092 $image --admin '' >/dev/null && wait_for "$c" 'Kafka Server started' &&
		[ "$(docker exec "$c" broker health)" = ready ] && docker exec "$c" kafka-server-stop && docker wait "$c" >/dev/null &&
		docker run -d --name "$prefix-b" $image sleep 60 >/dev/null || return 1
	if docker exec "$prefix-b" broker health 2>/dev/null; then fail 'healthy without a broker'; fi
}
ready_over_http() {
	local port=$((20000 + $$ % 10000)) path
	docker run -d --name "$c" -p "127.0.0.1:$port:9644" $image >/dev/null && wait_for "$c" 'Kafka Server started' || return 1
	for path in /readyz /ready /v1/status/ready; do
		[ "$(python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode(), end="")' "http://127.0.0.1:$port$path")" = ready ] || return 1
	done
}

check 'a volume is read by other users' as_other_users
check 'a volume is read after an upgrade of the image, and after going back' after_an_upgrade
check 'a directory of another user: one sentence says what to do' not_by_this_user
check 'a volume that is in use' held_by_another
check 'broker health asks the Kafka port where the admin address is off' healthy_by_the_kafka_port
check 'ready over HTTP, from the host' ready_over_http
