#!/usr/bin/env bash
# Testcontainers for Rust: its Kafka modules for the images of Apache and of Confluent, and its GenericImage, with
# rdkafka, which compiles librdkafka and so needs a C compiler. See ../README.md.
#
# The Apache module tells all clients 127.0.0.1, and Confluent's BROKER listener localhost, whatever the image: another
# container cannot use them. Therefore their tools run inside the broker's container.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
expression=''
[ "${1:-}" != -k ] || expression=$2
. "$here/env.sh"
exec cargo run --quiet --locked --manifest-path "$here/Cargo.toml" -- "$expression"
