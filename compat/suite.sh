#!/usr/bin/env bash
# A suite of transactional tests in Java, with Kafka's own client, and how long it takes.
#
#   suite.sh [--against HOST:PORT | --broker BINARY] [-k TEST]
#
# The suite is in java/suite. It runs against a broker that is built from this tree and reset for each test, over its lab;
# or against one that runs already, Apache Kafka for instance, where each test has topics of its own, and tests that need
# the lab are skipped. -k picks tests as Maven's -Dtest does: HistoryTest, or 'CopyTest#aStatic*'.
#
# Needs Go, a JDK 17 and Maven. Prints the failures and how many tests there were and passed, and how long they took
# with and without the start of Maven and of the JVM. Exit status: 0 when every test passed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
against='' broker='' tests=''
while [ $# -gt 0 ]; do
	case $1 in
	--against) against=$2; shift 2 ;;
	--broker) broker=$2; shift 2 ;;
	-k) tests=$2; shift 2 ;;
	-h | --help) sed -n '2,12p' "$0"; exit 0 ;;
	*) echo "unknown argument $1" >&2; exit 2 ;;
	esac
done

work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT

# start starts the broker as one for tests, and takes both addresses from its line "ready".
start() {
	[ -n "$broker" ] || { broker=$work/broker; (cd "$here/.." && go build -o "$broker" ./cmd/broker); }
	"$broker" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --ephemeral >"$work/ready" 2>"$work/broker.log" &
	pid=$!
	until grep -q '^ready ' "$work/ready"; do
		kill -0 "$pid" 2>/dev/null || { tail -5 "$work/broker.log" >&2; exit 1; }
		sleep 0.02
	done
	SUITE_BROKER=$(sed -n 's/^ready .*\blisten=\([^ ]*\).*/\1/p' "$work/ready")
	SUITE_LAB=http://$(sed -n 's/^ready .*\badmin=\([^ ]*\).*/\1/p' "$work/ready")
}

export SUITE_BROKER=$against SUITE_LAB=
cp -r "$here/java/suite" "$work/suite" # nothing is left behind in the tree
mvn=(mvn -q -B -f "$work/suite/pom.xml" -Dlab="$here/../examples/lab/java/src/test/java")
"${mvn[@]}" test-compile >"$work/compile.log" 2>&1 || { tail -20 "$work/compile.log" >&2; exit 1; }
[ -n "$against" ] || start

began=$(date +%s%N)
"${mvn[@]}" surefire:test ${tests:+-Dtest="$tests"} >"$work/tests.log" 2>&1 || grep '^\[ERROR\]' "$work/tests.log" | head -60 || true
ended=$(date +%s%N)

# Each class has a report; "tests" counts skipped ones, too.
cat "$work"/suite/target/surefire-reports/*.xml 2>/dev/null | awk -v whole=$(((ended - began) / 1000000)) '
	function field(name) { return match($0, " " name "=\"[^\"]*\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : 0 }
	/<testsuite / { tests += field("tests"); skipped += field("skipped"); wrong += field("failures") + field("errors"); time += field("time") }
	END {
		printf "%d tests, %d passed, %d failed; %.1f s, with Maven %.1f s\n", tests - skipped, tests - skipped - wrong, wrong,
			time, whole / 1000
		exit !(tests > skipped && wrong == 0)
	}'
