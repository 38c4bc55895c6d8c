# Compose files as people have them, of which only the image's name is changed: up, records from the host and from another
# container, down, up again, and the records are there. Sourced by run.sh.

# compose runs Compose: the plug-in, or the program of that name, which is installed where there is none.
compose() {
	if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}
has_compose() {
	docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null 2>&1 ||
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker-compose; } >"$work/apt" 2>&1 ||
		fail "there is no docker compose, and none can be installed: $(tail -1 "$work/apt")"
}

composed() { # FILE SERVICE:PORT for other containers
	has_compose || return 1
	local project=${prefix//-/}$1 service=${2%:*} status=1
	export IMAGE=$image HOST_PORT=$((20000 + $$ % 10000))
	compose_story "$project" "$here/compose/$1.yml" "$service" "$2" && status=0
	compose -p "$project" -f "$here/compose/$1.yml" down -v >/dev/null 2>&1
	return $status
}
compose_story() { # PROJECT FILE SERVICE ADDRESS
	local host="$root/bin/image/broker" at="127.0.0.1:$HOST_PORT" got
	compose_up "$@" && echo one | timeout 20 "$host" console-producer --bootstrap-server "$at" --topic orders &&
		echo two | timeout 20 docker run --rm -i --network "$1_default" $image console-producer --bootstrap-server "$4" --topic orders || return 1
	compose -p "$1" -f "$2" down >/dev/null 2>&1 && compose_up "$@" || return 1
	got=$(timeout 20 docker run --rm --network "$1_default" $image console-consumer --bootstrap-server "$4" --topic orders --from-beginning --max-messages 2 2>/dev/null | xargs)
	[ "$got" = 'one two' ] || fail "another container read '$got'" || return 1
	got=$(timeout 20 "$host" console-consumer --bootstrap-server "$at" --topic orders --from-beginning --max-messages 2 2>/dev/null | xargs)
	[ "$got" = 'one two' ] || fail "the host read '$got'"
}
compose_up() { # PROJECT FILE SERVICE ADDRESS
	compose -p "$1" -f "$2" up -d >"$work/compose" 2>&1 || fail "$(cat "$work/compose")" || return 1
	local id
	id=$(compose -p "$1" -f "$2" ps -q "$3") && wait_for "$id" 'Kafka Server started' || return 1
	if docker logs "$id" 2>&1 | grep 'unknown settings'; then return 1; fi
}
compose_apache() { composed apache broker:19092; }
compose_cp_kafka() { composed cp-kafka kafka:9092; }
compose_all_in_one() { composed cp-all-in-one broker:29092; }
compose_bitnami() { composed bitnami kafka:9092; }
compose_wurstmeister() { composed wurstmeister kafka:9092; }

check 'compose file of Apache Kafka'"'"'s image' compose_apache
check 'compose file of cp-kafka' compose_cp_kafka
check 'compose file of cp-all-in-one' compose_all_in_one
check 'compose file of Bitnami'"'"'s image' compose_bitnami
check 'compose file of wurstmeister'"'"'s image' compose_wurstmeister
