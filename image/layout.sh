#!/bin/sh
# Lays out the image's file system in DIRECTORY, which has usr/local/bin/broker already: links, scripts, directories.
# Everything but the program may be written by any user, as --user gives one that nobody knows.
set -eu
out=$1
here=$(dirname "$0")

cp -r "$here/files/." "$out/"

# Kafka's tools are the program under other names.
for tool in topics configs console-producer console-consumer console-share-consumer groups consumer-groups share-groups streams-groups transactions \
	get-offsets broker-api-versions metadata-quorum storage features acls cluster delete-records log-dirs leader-election \
	reassign-partitions client-metrics delegation-tokens producer-perf-test consumer-perf-test; do
	ln -s broker "$out/usr/local/bin/kafka-$tool"
	ln -s broker "$out/usr/local/bin/kafka-$tool.sh"
	ln -s /usr/local/bin/broker "$out/opt/kafka/bin/kafka-$tool.sh"
done
ln -s broker "$out/usr/local/bin/entrypoint"
mkdir -p "$out/usr/bin"
ln -s /bin/env "$out/usr/bin/env" # for scripts that begin with #!/usr/bin/env
for script in kafka-server-start kafka-server-stop zookeeper-server-start zookeeper-server-stop; do
	ln -s "/opt/kafka/bin/$script.sh" "$out/usr/local/bin/$script"
done

# What has to be passed on: the licences of what is linked into the program, and that of the base image.
mkdir -p "$out/licenses"
cp -r "$here/../cmd/broker/licenses/." "$here/licenses/." "$out/licenses/"

mkdir -p "$out/etc/kafka/secrets" "$out/var/lib/kafka/data" "$out/mnt/shared/config" "$out/bitnami/kafka" "$out/kafka" \
	"$out/docker-entrypoint-initdb.d" "$out/home/appuser" "$out/opt/kafka/logs" "$out/opt/kafka/config" "$out/tmp/kraft-combined-logs" "$out/var/log/kafka"
ln -s /var/lib/kafka/data "$out/data"
# Strimzi's test container calls bin/kafka-storage.sh from the working directory.
ln -s /opt/kafka/bin "$out/home/appuser/bin"

find "$out" -type d -exec chmod 777 {} +
find "$out/etc" "$out/opt" -type f -exec chmod a+rwX {} +
chmod 755 "$out" "$out/bin" "$out/usr" "$out/usr/bin" "$out/usr/local" "$out/usr/local/bin" "$out/usr/local/bin/broker" \
	"$out/usr/local/sbin" "$out/usr/local/sbin/sh" "$out/bin/bash" "$out/work/kafka"
chmod 1777 "$out/tmp"
chmod 644 "$out/etc/passwd" "$out/etc/group"
