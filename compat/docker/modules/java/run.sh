#!/usr/bin/env bash
# Testcontainers for Java by all of its classes that know Kafka, and by GenericContainer; see ../README.md.
# Needs a JDK 17 and Maven.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat
jars=$cache/jars/testcontainers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$cache"
exec 9>"$cache/lock-modules-java" # one installation at a time
flock 9
if ! cmp -s pom.xml "$jars/pom.xml"; then
	rm -rf "$jars"
	mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory="$jars" >"$work/maven.log" 2>&1 ||
		{ tail -5 "$work/maven.log"; printf 'FAIL the packages of pom.xml\n0 passed, 1 failed\n'; exit 1; }
	cp pom.xml "$jars/pom.xml"
fi
exec 9>&-

javac -nowarn -XDsuppressNotes -proc:none -cp "$jars/*" -d "$work/classes" src/*.java
java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-off}" -cp "$work/classes:$jars/*" Modules "$@"
