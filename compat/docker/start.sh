#!/usr/bin/env bash
# Prints how long the image takes from the start of its process to the first record that the host reads back, in its parts,
# and what the engine takes before; beside it, how long Apache Kafka takes on the same machine, started from its jars on a
# data directory that is formatted already. The client begins when `docker start` has returned; see go/firstrecord.
#
#   start.sh IMAGE [RUNS]
#
# ONCE_KAFKA_LIBS is a directory with the jars of Kafka; without it Maven fetches them, and without Maven or Java only the
# image is measured. Needs a Docker engine, at DOCKER_HOST, and Go.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=$1 runs=${2:-5}
version=4.4.0
libs=${ONCE_KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/once-kafka/$version/libs}
work=$(mktemp -d)
name=once-start-$$
trap 'docker rm -fv $name >/dev/null 2>&1; rm -rf "$work"' EXIT

(cd "$here/../go" && go build -o "$work/firstrecord" ./firstrecord)
port=$((20000 + $$ % 10000))

median() { cut -d' ' -f"$1" "$work/times" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
ms_of() { date -d "$1" +%s%3N; }

# once_ms prints four times: until the engine starts the process, from there until it is ready, until the engine has
# returned, and until the record is read.
once_ms() {
	docker create --name "$name" -p "127.0.0.1:$port:9092" -e ONCE_PORT=$port "$image" >/dev/null
	local began end started ready returned
	began=$(date +%s%3N)
	end=$("$work/firstrecord" -after "127.0.0.1:$port" sh -c "docker start $name >/dev/null && date +%s%3N >'$work/returned'" | sed 's/.*at_ms=//')
	returned=$(cat "$work/returned")
	started=$(ms_of "$(docker inspect -f '{{.State.StartedAt}}' "$name")")
	ready=$(ms_of "$(docker logs -t "$name" 2>/dev/null | sed -n 's/ ready .*//p')")
	docker rm -fv "$name" >/dev/null
	echo $((started - began)) $((ready - started)) $((returned - started)) $((end - started))
}

fetch_jars() {
	[ -e "$libs/kafka_2.13-$version.jar" ] && return
	[ -z "${ONCE_KAFKA_LIBS:-}" ] && command -v mvn >/dev/null && command -v java >/dev/null || return 1
	mkdir -p "$libs"
	cat >"$work/pom.xml" <<-POM
		<project><modelVersion>4.0.0</modelVersion><groupId>once</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
		<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
		<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
		</dependencies></project>
	POM
	mvn -q -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" >"$work/mvn.log" 2>&1
}

kafka_ms() {
	local dir
	dir=$(mktemp -d "$work/kafka.XXXX")
	cat >"$dir/server.properties" <<-PROPERTIES
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$((port + 1))
		listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
		controller.listener.names=CONTROLLER
		log.dirs=$dir/data
		offsets.topic.replication.factor=1
	PROPERTIES
	local java=(java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*")
	"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAg -c "$dir/server.properties" >/dev/null 2>&1
	"$work/firstrecord" "127.0.0.1:$port" "${java[@]}" kafka.Kafka "$dir/server.properties" | sed 's/took_ms=\([0-9]*\).*/\1/'
	rm -rf "$dir"
}

for _ in $(seq "$runs"); do once_ms; done >"$work/times"
kafka='not measured: there are no jars'
if fetch_jars; then kafka="$(kafka_ms) ms, Apache Kafka $version from its jars"; fi
printf 'from the start of the process to the first record: %s ms, the median of %s; %s\n' "$(median 4)" "$runs" "$kafka"
printf 'of these: ready after %s ms, the engine returns after %s ms; before them: %s ms of the engine\n' \
	"$(median 2)" "$(median 3)" "$(median 1)"
