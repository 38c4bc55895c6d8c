#!/usr/bin/env bash
# Builds the container image and runs it as people and test modules do: plainly, by the scripts of both image families,
# as another user, on a read-only file system, twice with one volume, and stopped. Prints size, time to ready and memory.
# More checks are in checks/.
#
#   run.sh [-k EXPRESSION]    only checks whose name matches the expression
#
# ONCE_CHECK_IMAGE is the name that the image gets here, once:check by default.
# ONCE_ARM64=1 builds and runs it for arm64, too, which takes minutes.
# ONCE_BUILD_INSIDE=1 also builds it with nothing but `docker build`, which compiles the program inside and takes minutes.
# Needs root or a Docker engine; see engine.sh. Where none can be had it says so, and exits with 0; with
# ONCE_ENGINE=required that is a failure. Ends with "N passed, N failed".
set -u # without pipefail: grep -q ends before what it reads from

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
expression=.
[ "${1:-}" != -k ] || expression=$2

# Limits, in bytes and milliseconds.
# Those of time are ten times what is wanted (100, 1,000 and 50 ms), since a busy machine says nothing about the program.
readonly pull_limit=12000000 unpacked_limit=30000000 idle_limit_kib=$((25 * 1024))
readonly ready_limit_ms=1000 stop_limit_ms=10000 tool_limit_ms=500

# One run at a time uses the engine of its own: the first to end would stop it under the others.
engine_dir=${ONCE_ENGINE_DIR:-${TMPDIR:-/tmp}/once-docker}
mkdir -p "$engine_dir"
exec 9>"$engine_dir/lock"
flock 9

if ! engine=$("$here/engine.sh" start 9>&-); then # the engine must not inherit the lock
	[ "${ONCE_ENGINE:-}" != required ] || { printf '0 passed, 1 failed\n'; exit 1; }
	printf 'not run: there is no Docker engine here\n0 passed, 0 failed\n'
	exit 0
fi
eval "$engine"
export DOCKER_HOST

prefix=once-check-$$ image=${ONCE_CHECK_IMAGE:-once:check}
work=$(mktemp -d)
cleanup() {
	local containers volumes
	containers=$(docker ps -aq --filter "name=$prefix")
	[ -z "$containers" ] || docker rm -fv $containers >/dev/null
	volumes=$(docker volume ls -q --filter "name=$prefix")
	[ -z "$volumes" ] || docker volume rm $volumes >/dev/null
	docker network rm "$prefix" >/dev/null 2>&1
	rm -rf "$work"
	[ "$STARTED" = no ] || "$here/engine.sh" stop
}
trap cleanup EXIT

passed=0 failed=0
fail() { printf '    %s\n' "$*"; return 1; }

check() { # NAME FUNCTION
	[[ $1 =~ $expression ]] || return 0
	if ($2 >"$work/out" 2>&1); then
		passed=$((passed + 1))
		printf 'ok    %s\n' "$1"
	else
		failed=$((failed + 1))
		printf 'FAIL  %s\n' "$1"
		sed 's/^/    /' "$work/out" | tail -15
	fi
	grep '^figure:' "$work/out"
	local containers
	containers=$(docker ps -aq --filter "name=$prefix")
	[ -z "$containers" ] || docker rm -fv $containers >/dev/null
}

now_ms() { date +%s%3N; }

# wait_for CONTAINER WORDS waits until its log has them.
wait_for() {
	local end=$((SECONDS + 30))
	until docker logs "$1" 2>&1 | grep -qF -- "$2"; do
		if [ "$(docker inspect -f '{{.State.Running}}' "$1")" != true ] || [ $SECONDS -ge $end ]; then
			docker logs "$1" 2>&1 | tail -10
			fail "no line '$2' in the log"
			return 1
		fi
		sleep 0.05
	done
}

produce() { # CONTAINER TOPIC VALUE
	printf '%s\n' "$3" | docker exec -i "$1" kafka-console-producer --bootstrap-server localhost:9092 --topic "$2"
}
consume() { # CONTAINER TOPIC COUNT
	docker exec "$1" kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic "$2" --from-beginning --max-messages "$3" \
		--timeout-ms 10000 2>/dev/null
}
holds() { # CONTAINER TOPIC VALUES
	local got
	got=$(consume "$1" "$2" "$(wc -w <<<"$3")" | xargs)
	[ "$got" = "$3" ] || fail "the topic $2 holds '$got', not '$3'"
}

stops() { # CONTAINER, by itself and in order
	local began took code
	began=$(now_ms)
	docker stop -t 20 "$1" >/dev/null
	took=$(($(now_ms) - began))
	code=$(docker inspect -f '{{.State.ExitCode}}' "$1")
	echo "figure: stopped in $took ms"
	[ "$code" = 0 ] || fail "exit code $code" || return 1
	[ $took -le $stop_limit_ms ] || fail "stopped after $took ms"
}

c=$prefix-a

builds_inside() { docker build -q --build-arg VERSION=8.1.0-inside -t once:inside "$root" && docker run --rm once:inside version | grep -q 8.1.0-inside; }
sizes() {
	local pull unpacked
	pull=$(docker save $image | gzip -6 | wc -c)
	unpacked=$(docker image inspect -f '{{.Size}}' $image)
	echo "figure: $pull bytes to pull, $unpacked unpacked"
	[ "$pull" -le $pull_limit ] && [ "$unpacked" -le $unpacked_limit ]
}
shape() {
	local got
	got=$(docker image inspect -f '{{.Config.User}} {{json .Config.Entrypoint}} {{.Config.Healthcheck}} {{json .Config.ExposedPorts}}' $image)
	[ "$got" = '1000 ["entrypoint"] <nil> {"9092/tcp":{}}' ] || fail "$got"
}
plainly() {
	docker run -d --name "$c" $image >/dev/null && wait_for "$c" 'Kafka Server started' && produce "$c" orders one && holds "$c" orders one || return 1
	local took ms idle
	took=$(docker logs "$c" 2>/dev/null | sed -n 's/^ready .*took=//p')
	ms=$(awk -v t="$took" 'BEGIN { n = t + 0; if (t ~ /µs$/) n /= 1000; else if (t !~ /ms$/) n *= 1000; print n }')
	idle=$(docker exec "$c" awk '/^VmRSS/ { print $2 }' /proc/1/status)
	echo "figure: ready in $ms ms, $idle KiB resident"
	awk -v ms="$ms" -v limit=$ready_limit_ms 'BEGIN { exit !(ms <= limit) }' || fail "ready after $ms ms" || return 1
	[ "$idle" -le $idle_limit_kib ] || fail "$idle KiB resident" || return 1
	for words in 'Transitioning from RECOVERY to RUNNING' '[KafkaServer id=1] started' 'Kafka Server started' 'Creating new log file' \
		'Checking need to trigger auto leader balancing'; do
		[ "$(docker logs "$c" 2>/dev/null | grep -cF "$words")" = 1 ] || fail "'$words' is not in the log once" || return 1
	done
	docker exec "$c" broker health && stops "$c"
}
own_options() {
	docker run -d --name "$c" $image --durability fsync >/dev/null && wait_for "$c" 'Kafka Server started' &&
		docker logs "$c" 2>&1 | grep -q 'durability=fsync\|durability:fsync' || fail "$(docker logs "$c" 2>&1 | head -3)"
}
other_programs() {
	[ "$(docker run --rm $image sh -c 'echo hello')" = hello ] && [ "$(docker run --rm $image bash -c 'source /etc/group; echo hello' 2>/dev/null)" = hello ] || return 1
	docker run --rm $image nosuch
	[ $? = 127 ] || fail 'a program that is not there'
}
from_the_host() { # the address that the client is told has to be the published one
	local port=$((20000 + $$ % 10000)) host="$root/bin/image/broker"
	docker run -d --name "$c" -p "127.0.0.1:$port:9092" -e ONCE_PORT=$port $image >/dev/null && wait_for "$c" 'Kafka Server started' || return 1
	timeout 20 "$host" topics --bootstrap-server "127.0.0.1:$port" --create --topic orders &&
		printf 'one\ntwo\n' | timeout 20 "$host" console-producer --bootstrap-server "127.0.0.1:$port" --topic orders || return 1
	local got
	got=$(timeout 20 "$host" console-consumer --bootstrap-server "127.0.0.1:$port" --topic orders --from-beginning --max-messages 2 2>/dev/null | xargs)
	[ "$got" = 'one two' ] || fail "read '$got'"
}
admin_from_the_host() {
	docker run -d --name "$c" -p 127.0.0.1::9644 $image >/dev/null && wait_for "$c" 'Kafka Server started' || return 1
	[ "$(curl -sS -m 5 -w '%{http_code}' -o /dev/null "http://$(docker port "$c" 9644/tcp)/readyz")" = 200 ] || fail "listens on $(docker logs "$c" 2>&1 | grep -o 'admin=[^ ]*')"
}
from_another_container() {
	docker network create "$prefix" >/dev/null && docker run -d --name "$c" --network "$prefix" --network-alias kafka $image >/dev/null &&
		wait_for "$c" 'Kafka Server started' &&
		docker run --rm --network "$prefix" $image topics --bootstrap-server kafka:9092 --create --topic orders | grep -q 'Created topic orders.'
}
two_listeners() { # as compose files have them: one for the host, one for containers, and nothing said of where to listen
	local port=$((30000 + $$ % 10000)) host="$root/bin/image/broker" got
	docker network inspect "$prefix" >/dev/null 2>&1 || docker network create "$prefix" >/dev/null || return 1
	docker run -d --name "$c" --network "$prefix" --network-alias kafka -p "127.0.0.1:$port:$port" \
			-e KAFKA_ADVERTISED_LISTENERS="PLAINTEXT_HOST://localhost:$port,CONTAINER://kafka:19092" \
			-e KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT,CONTAINER:PLAINTEXT \
			-e KAFKA_INTER_BROKER_LISTENER_NAME=CONTAINER -e KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER $image >/dev/null &&
		wait_for "$c" 'Kafka Server started' || return 1
	timeout 20 "$host" topics --bootstrap-server "127.0.0.1:$port" --create --topic orders &&
		echo one | timeout 20 "$host" console-producer --bootstrap-server "127.0.0.1:$port" --topic orders &&
		echo two | timeout 20 docker run --rm -i --network "$prefix" $image console-producer --bootstrap-server kafka:19092 --topic orders || return 1
	got=$(timeout 20 docker run --rm --network "$prefix" $image console-consumer --bootstrap-server kafka:19092 --topic orders --from-beginning --max-messages 2 2>/dev/null | xargs)
	[ "$got" = 'one two' ] || fail "read '$got'" || return 1
	if docker logs "$c" 2>&1 | grep 'has not come'; then return 1; fi
	docker logs "$c" 2>/dev/null | grep -q "^ready .* listeners=PLAINTEXT_HOST://\[::\]:$port,CONTAINER://\[::\]:19092$" || fail 'the ready line'
}
another_port() { # of which the broker knows nothing: the log says what to set
	local port host="$root/bin/image/broker"
	docker run -d --name "$c" -p 127.0.0.1::9092 $image >/dev/null && wait_for "$c" 'Kafka Server started' || return 1
	port=$(docker port "$c" 9092/tcp | sed -n '1s/.*://p')
	echo one | timeout 5 "$host" console-producer --bootstrap-server "127.0.0.1:$port" --topic orders
	docker logs "$c" 2>&1 | grep 'has not come' | grep -q ONCE_PORT || fail 'the log does not say it'
}
apache_run() {
	docker run -d --name "$c" -e KAFKA_NODE_ID=7 $image /etc/kafka/docker/run KAFKA_NUM_PARTITIONS=3 >/dev/null && wait_for "$c" '[KafkaServer id=7] started' &&
		produce "$c" orders one && [ "$(docker exec "$c" kafka-get-offsets --bootstrap-server localhost:9092 --topic orders | wc -l)" = 3 ] && stops "$c"
}
confluent_run() {
	docker run -d --name "$c" $image /etc/confluent/docker/run >/dev/null && wait_for "$c" 'Kafka Server started' && produce "$c" orders one && stops "$c"
}

# A loop that waits for a script, as test modules put it in, here with what they do to the files of Confluent's image.
starter() { # CONTAINER SCRIPT, on standard input
	docker exec -i "$1" sh -c "cat >$2.new && chmod 777 $2.new && mv $2.new $2"
}
java_module() {
	docker run -d --name "$c" $image sh -c 'while [ ! -f /tmp/testcontainers_start.sh ]; do sleep 0.1; done; /tmp/testcontainers_start.sh' >/dev/null
	printf '%s\n' '#!/bin/bash' "export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:49092,BROKER://\$(hostname):9093" \
		'export KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092,BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094' \
		'export KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT' \
		'export KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER KAFKA_INTER_BROKER_LISTENER_NAME=BROKER' \
		'/etc/kafka/docker/run' | starter "$c" /tmp/testcontainers_start.sh
	wait_for "$c" 'Transitioning from RECOVERY to RUNNING' &&
		docker exec "$c" kafka-topics --bootstrap-server localhost:9093 --list | grep -q __consumer_offsets && stops "$c"
}
go_module() {
	docker run -d --name "$c" --user root --entrypoint sh $image -c 'while [ ! -f /usr/sbin/testcontainers_start.sh ]; do sleep 0.1; done; bash /usr/sbin/testcontainers_start.sh' >/dev/null
	docker exec "$c" mkdir -p /usr/sbin
	printf '%s\n' '#!/bin/bash' 'source /etc/confluent/docker/bash-config' \
		'export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:49092,BROKER://$(hostname):9092' \
		'export KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092,CONTROLLER://0.0.0.0:9094' \
		'export KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT' \
		'export KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER KAFKA_INTER_BROKER_LISTENER_NAME=BROKER' \
		"sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure" \
		"echo 'kafka-storage format --ignore-formatted -t \"\$(kafka-storage random-uuid)\" -c /etc/kafka/kafka.properties' >> /etc/confluent/docker/configure" \
		"echo '' > /etc/confluent/docker/ensure" \
		'/etc/confluent/docker/configure' '/etc/confluent/docker/launch' | starter "$c" /usr/sbin/testcontainers_start.sh
	wait_for "$c" 'Transitioning from RECOVERY to RUNNING' && docker logs "$c" 2>&1 | grep -q 'Nothing to format' && stops "$c"
}
zookeeper_module() {
	docker run -d --name "$c" --entrypoint sh $image -c "echo 'clientPort=2181' > zookeeper.properties; zookeeper-server-start zookeeper.properties &
		echo '' > /etc/confluent/docker/ensure; export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092, KAFKA_ZOOKEEPER_CONNECT=localhost:2181
		. /etc/confluent/docker/bash-config; /etc/confluent/docker/configure; /etc/confluent/docker/launch" >/dev/null &&
		wait_for "$c" '[KafkaServer id=1] started' && stops "$c"
}
rust_module() {
	docker run -d --name "$c" --entrypoint bash $image -c 'while [ ! -f /opt/kafka/testcontainers_start.sh  ]; do sleep 0.1; done;
		chmod 755 /opt/kafka/testcontainers_start.sh && /opt/kafka/testcontainers_start.sh' >/dev/null
	docker exec "$c" sh -c "echo '#!/usr/bin/env bash
export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:49092,BROKER://localhost:9093
export KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092,BROKER://0.0.0.0:9093
export KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT
/etc/kafka/docker/run
' > /opt/kafka/testcontainers_start.sh" && wait_for "$c" 'Kafka Server started' && stops "$c"
}
first_shell() { # a shell that is the first process hands on output, input and exit code, and ends at a signal
	[ "$(echo hello | docker run --rm -i $image sh -c 'cat; exit 0')" = hello ] || fail 'input' || return 1
	docker run --rm $image bash -c 'exit 7'
	[ $? = 7 ] || fail 'the exit code' || return 1
	docker run -d --name "$c" $image sh -c 'echo waiting; while [ ! -f /tmp/none ]; do sleep 0.1; done' >/dev/null && wait_for "$c" waiting || return 1
	local began
	began=$(now_ms)
	docker stop -t 20 "$c" >/dev/null
	[ $(($(now_ms) - began)) -le $stop_limit_ms ] || fail 'a shell without a broker does not end'
}
another_user() { docker run -d --name "$c" --user 12345 $image /etc/confluent/docker/run >/dev/null && wait_for "$c" 'Kafka Server started' && produce "$c" orders one && stops "$c"; }
read_only() {
	docker volume create "$prefix-ro" >/dev/null
	docker run -d --name "$c" --read-only --tmpfs /tmp -v "$prefix-ro:/var/lib/kafka/data" $image >/dev/null && wait_for "$c" 'Kafka Server started' &&
		produce "$c" orders one && stops "$c"
}
volume_twice_at() { # DIRECTORY
	docker volume create "$prefix-v$$" >/dev/null
	docker run -d --name "$c" -v "$prefix-v$$:$1" $image >/dev/null && wait_for "$c" 'Kafka Server started' && produce "$c" orders one &&
		docker kill "$c" >/dev/null && docker rm -v "$c" >/dev/null &&
		docker run -d --name "$c" -v "$prefix-v$$:$1" $image >/dev/null && wait_for "$c" 'Kafka Server started' && holds "$c" orders one
	local status=$?
	docker rm -fv "$c" >/dev/null
	docker volume rm "$prefix-v$$" >/dev/null
	return $status
}
volume_kafka() { volume_twice_at /var/lib/kafka/data; }
volume_data() { volume_twice_at /data; }
volume_bitnami() { volume_twice_at /bitnami/kafka; }
forbidden_directory() {
	mkdir -p "$work/theirs" && chmod 700 "$work/theirs"
	docker run --name "$c" -v "$work/theirs:/var/lib/kafka/data" $image 2>"$work/err" && return 1
	grep -q 'runs as user 1000' "$work/err" || fail "$(cat "$work/err")"
}
kafkas_directory() {
	mkdir -p "$work/kafka" && chmod 777 "$work/kafka" && touch "$work/kafka/meta.properties"
	docker run --name "$c" -v "$work/kafka:/var/lib/kafka/data" $image 2>"$work/err"
	[ $? = 2 ] && grep -q 'holds data of Apache Kafka' "$work/err" || fail "$(cat "$work/err")"
}
property_file() {
	mkdir -p "$work/config" && echo 'num.partitions=4' >"$work/config/server.properties"
	docker run -d --name "$c" -v "$work/config:/mnt/shared/config" $image >/dev/null && wait_for "$c" 'Kafka Server started' && produce "$c" orders one &&
		[ "$(docker exec "$c" kafka-get-offsets --bootstrap-server localhost:9092 --topic orders | wc -l)" = 4 ]
}
kafkas_scripts() {
	docker run -d --name "$c" $image sh -c 'echo node.id=5 > server.properties; /opt/kafka/bin/kafka-server-start.sh server.properties --override num.partitions=2' >/dev/null &&
		wait_for "$c" '[KafkaServer id=5] started' && docker exec "$c" kafka-server-stop && docker wait "$c" >/dev/null
}
quick_tools() {
	docker run -d --name "$c" $image >/dev/null && wait_for "$c" 'Kafka Server started' || return 1
	local ms
	ms=$(docker exec "$c" sh -c 'for i in 1 2 3 4 5 6 7 8 9; do
		b=$(awk "{ print \$1 * 1000 }" /proc/uptime); kafka-topics --bootstrap-server localhost:9092 --list >/dev/null || exit 1
		awk -v b=$b "{ print \$1 * 1000 - b }" /proc/uptime; done' | sort -n | sed -n 5p)
	echo "figure: kafka-topics --list in $ms ms, the median of 9"
	awk -v ms="$ms" -v limit=$tool_limit_ms 'BEGIN { exit !(ms <= limit) }' || fail "$ms ms"
}

"$here/engine.sh" bases && make -C "$root" --no-print-directory image IMAGE=$image VERSION=8.1.0 >"$work/build" 2>&1 ||
	{ tail -15 "$work/build"; printf '0 passed, 1 failed\n'; exit 1; }

check 'the image is small' sizes
check 'user, entrypoint, port, no health check' shape
check 'plainly: ready, produces, consumes, stops' plainly
check 'an option after the image is the broker'"'"'s' own_options
check 'what is no command is another program' other_programs
check 'from the host through a published port' from_the_host
check 'the admin address through a published port' admin_from_the_host
check 'another container reaches it by its alias' from_another_container
check 'a listener for the host and one for containers' two_listeners
check 'a port of the host that it does not know is in the log' another_port
check '/etc/kafka/docker/run with NAME=value' apache_run
check '/etc/confluent/docker/run' confluent_run
check 'started as by Java'"'"'s module' java_module
check 'started as by Go'"'"'s module' go_module
check 'started as by Rust'"'"'s module' rust_module
check 'started as by modules with ZooKeeper' zookeeper_module
check 'a shell as the first process' first_shell
check 'as another user' another_user
check 'with a read-only file system' read_only
check 'a volume at /var/lib/kafka/data is read again after a kill' volume_kafka
check 'a volume at /data is read again after a kill' volume_data
check 'a volume at /bitnami/kafka is read again after a kill' volume_bitnami
check 'a directory that may not be written names the user' forbidden_directory
check 'a directory of Apache Kafka is refused' kafkas_directory
check 'a mounted server.properties counts' property_file
check 'kafka-server-start and kafka-server-stop' kafkas_scripts
check 'kafka-topics --list inside is quick' quick_tools
for more in "$here"/checks/*.sh; do . "$more"; done
[ -z "${ONCE_BUILD_INSIDE:-}" ] || check 'docker build compiles the program inside' builds_inside

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
