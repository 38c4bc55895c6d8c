# Topics, settings and scripts that a container is given. Sourced by run.sh.

seeded() {
	printf -- '- name: orders\n  partitions: 2\n  records: [{key: k, value: one, partition: 1}]\n' >"$work/seed.yaml"
	docker run -d --name "$c" -v "$work/seed.yaml:/seed.yaml:ro" -e KAFKA_CREATE_TOPICS=a:3:1,b:1:1:compact $image --seed /seed.yaml >/dev/null &&
		wait_for "$c" 'Kafka Server started' && holds "$c" orders one || return 1
	[ "$(docker exec "$c" kafka-get-offsets --bootstrap-server localhost:9092 --topic a | wc -l)" = 3 ] &&
		docker exec "$c" kafka-configs --bootstrap-server localhost:9092 --describe --topic b | grep -q cleanup.policy=compact
}
seed_with_a_mistake() {
	printf -- '- name: orders\n  partition: 2\n' >"$work/seed.yaml"
	docker run --name "$c" -v "$work/seed.yaml:/seed.yaml:ro" -e ONCE_SEED=/seed.yaml $image 2>"$work/err"
	[ $? = 2 ] && grep -q '/seed.yaml (ONCE_SEED): line 2: \[0\].partition: is not known here' "$work/err" || fail "$(cat "$work/err")"
}
bitnami_settings() {
	docker run -d --name "$c" -e ALLOW_PLAINTEXT_LISTENER=yes -e KAFKA_CFG_NUM_PARTITIONS=3 -e KAFKA_CFG_NODE_ID=0 -e KAFKA_CFG_PROCESS_ROLES=controller,broker \
		-e KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@kafka:9093 -e KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093 \
		-e KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT -e KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER $image >/dev/null &&
		wait_for "$c" '[KafkaServer id=0] started' && produce "$c" orders one &&
		[ "$(docker exec "$c" kafka-get-offsets --bootstrap-server localhost:9092 --topic orders | wc -l)" = 3 ]
}
host_name() {
	local port=$((20000 + $$ % 10000))
	docker run -d --name "$c" -p "127.0.0.1:$port:9092" -e KAFKA_ADVERTISED_HOST_NAME=127.0.0.1 -e KAFKA_ADVERTISED_PORT=$port \
		-e KAFKA_ZOOKEEPER_CONNECT=zookeeper:2181 $image >/dev/null && wait_for "$c" 'Kafka Server started' &&
		"$root/bin/image/broker" broker-api-versions --bootstrap-server "127.0.0.1:$port" | grep -q "^127.0.0.1:$port "
}
init_scripts() {
	mkdir -p "$work/init" && echo 'echo made by $(id -u) >/tmp/made; echo from the script' >"$work/init/10-first.sh" && chmod 755 "$work/init"
	docker volume create "$prefix-init" >/dev/null
	docker run -d --name "$c" -v "$work/init:/docker-entrypoint-initdb.d" -v "$prefix-init:/bitnami/kafka" $image >/dev/null &&
		wait_for "$c" 'Kafka Server started' && docker exec "$c" grep -q 'made by 1000' /tmp/made || return 1
	docker restart -t 5 "$c" >/dev/null && sleep 0.2 && wait_for "$c" 'Kafka Server started' || return 1
	[ "$(docker logs "$c" 2>&1 | grep -c 'from the script')" = 1 ] || fail 'the script has not run once'
}
# Rust's module for Confluent's image starts at once, and says what port was published when the container runs.
rust_confluent_module() {
	local port host="$root/bin/image/broker" got
	docker run -d --name "$c" -p 127.0.0.1::9093 -e KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092 \
		-e KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT -e KAFKA_INTER_BROKER_LISTENER_NAME=BROKER \
		-e KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9093,BROKER://localhost:9092 -e KAFKA_BROKER_ID=1 $image /bin/bash -c \
		"echo 'clientPort=2181' >zookeeper.properties; zookeeper-server-start zookeeper.properties & . /etc/confluent/docker/bash-config
		/etc/confluent/docker/configure; /etc/confluent/docker/launch" >/dev/null &&
		wait_for "$c" 'Checking need to trigger auto leader balancing' || return 1
	port=$(docker port "$c" 9093/tcp | sed -n '1s/.*://p')
	docker exec "$c" kafka-configs --alter --bootstrap-server 0.0.0.0:9092 --entity-type brokers --entity-name 1 --add-config \
		"advertised.listeners=[PLAINTEXT://127.0.0.1:$port,BROKER://localhost:9092]" | grep -q 'Completed updating config for broker 1.' || return 1
	echo one | timeout 20 "$host" console-producer --bootstrap-server "127.0.0.1:$port" --topic orders || return 1
	got=$(timeout 20 "$host" console-consumer --bootstrap-server "127.0.0.1:$port" --topic orders --from-beginning --max-messages 1 2>/dev/null)
	[ "$got" = one ] || fail "read '$got'"
}

check 'a seed and KAFKA_CREATE_TOPICS' seeded
check 'a mistake in a seed is named, and nothing starts' seed_with_a_mistake
check 'KAFKA_CFG_ of Bitnami'"'"'s image' bitnami_settings
check 'KAFKA_ADVERTISED_HOST_NAME and PORT' host_name
check 'scripts of /docker-entrypoint-initdb.d run once' init_scripts
check 'started as by Rust'"'"'s module, which alters advertised.listeners' rust_confluent_module
