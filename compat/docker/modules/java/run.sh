#!/usr/bin/env bash
# Testcontainers for Java by all of its classes that know Kafka, GenericContainer, Strimzi's test container, Quarkus' dev
# services and Spring Boot's service connections; see ../README.md. Needs a JDK 17 and Maven.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

expression=''
[ "${1:-}" != -k ] || expression=$2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat
jars=$cache/jars/testcontainers
quick='-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1' # JVMs that live for seconds
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install() { # the jars of pom.xml
	mkdir -p "$cache"
	exec 9>"$cache/lock-modules-java" # one installation at a time
	flock 9
	cmp -s pom.xml "$jars/pom.xml" && return
	rm -rf "$jars"
	mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory="$jars" >"$work/maven.log" 2>&1 && cp pom.xml "$jars/pom.xml"
}

classes() { # the checks in src
	(install) || { tail -5 "$work/maven.log"; echo 'FAIL the packages of pom.xml'; return; }
	javac -nowarn -XDsuppressNotes -proc:none -cp "$jars/*" -d "$work/classes" src/*.java || { echo 'FAIL the checks compile'; return; }
	java $quick -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-off}" \
		-cp "$work/classes:$jars/*" Modules "$expression" || echo 'FAIL the checks end'
}

project() { # FOLDER NAME [VARIABLE=VALUE...], a Maven project with one test
	local folder=$1 name=$2
	shift 2
	[[ $name =~ $expression ]] || return
	if env "$@" MAVEN_OPTS="$quick" mvn -B -f "$folder/pom.xml" -DargLine="$quick" test >"$work/maven.log" 2>&1; then
		echo "ok $name, $(sed -nE 's/.*Container .* started in PT([0-9]*)\.?([0-9]{0,3}).*/ready in \1\2 ms/p' "$work/maven.log" | sed 's/in 0*\([0-9]\)/in \1/;q')"
	else
		grep -E 'ERROR|Caused by' "$work/maven.log" | head -20 | cut -c1-300
		echo "FAIL $name"
	fi
}

{
	classes
	project quarkus 'Quarkus dev services: an application copies in transactions'
	project quarkus 'Quarkus dev services, kafka-native: the same' QUARKUS_KAFKA_DEVSERVICES_PROVIDER=kafka-native
	project spring 'Spring Boot, @ServiceConnection: an application copies in transactions'
} | tee "$work/out"
failed=$(grep -c '^FAIL ' "$work/out")
printf '%d passed, %d failed\n' "$(grep -c '^ok ' "$work/out")" "$failed"
[ "$failed" = 0 ]
