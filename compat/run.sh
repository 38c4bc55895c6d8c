#!/usr/bin/env bash
# Stock clients of other languages against a freshly started broker.
#
#   compat/run.sh [--against HOST:PORT | --broker BINARY] [-k EXPRESSION] [SUITE...]
#
# Suites: kafka-python, confluent, lab, java, groups, share, streams, telemetry, tools,
# connections; all of them without an argument.
# Each gets a broker of its own, built from this tree. --against takes a broker that runs already (Apache Kafka, say) and
# leaves out the checks that kill it or need a setting; --broker takes a built binary. -k picks checks by name, as in
# pytest.
#
# Clients are installed by package name, with pinned versions, under ${XDG_CACHE_HOME:-$HOME/.cache}/once-compat.
# Needs Go and Python 3.9+; for java, groups, share, streams, telemetry, tools and connections a JDK 17 and Maven, for connections a
# C compiler, for lab Node 20, a JDK 17 and Maven. Exit status: 0 when every check passed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat
suite_limit_s=300

against='' broker='' expression='' results='' suites=()
while [ $# -gt 0 ]; do
	case $1 in
	--against) against=$2; shift 2 ;;
	--broker) broker=$2; shift 2 ;;
	--results) results=$2; shift 2 ;; # the table as lines of tab-separated fields, for mutants.sh
	-k) expression=$2; shift 2 ;;
	-h | --help) sed -n '2,14p' "$0"; exit 0 ;;
	-*) echo "unknown option $1" >&2; exit 2 ;;
	*) suites+=("$1"); shift ;;
	esac
done
[ ${#suites[@]} -gt 0 ] || suites=(kafka-python confluent lab java groups share streams telemetry tools connections)

declare -A files=([kafka-python]=test_kafka_python.py [confluent]=test_confluent.py [lab]="test_lab.py test_lab_scenarios.py" [java]=test_java.py
	[groups]=test_groups.py [share]=test_share.py [streams]=test_streams.py [telemetry]=test_telemetry.py [tools]=test_tools.py [connections]=test_connections.py)
for suite in "${suites[@]}"; do
	[ -n "${files[$suite]:-}" ] || { echo "no such suite: $suite (there are: ${!files[*]})" >&2; exit 2; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"
exec 9>"$cache/lock"

install_python() {
	local wanted=$here/python/requirements.txt
	venv=$cache/venv-$(sha256sum "$wanted" | cut -c1-12)
	[ -e "$venv/done" ] && return
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" --quiet --disable-pip-version-check install -r "$wanted"
	touch "$venv/done"
}

install_java() {
	local pom version jars
	for pom in "$here"/java/*/pom.xml; do
		version=$(basename "$(dirname "$pom")")
		jars=$cache/jars/$version
		cmp -s "$pom" "$jars/pom.xml" && continue
		rm -rf "$jars"
		mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$jars" >"$work/maven.log" 2>&1 ||
			{ tail -5 "$work/maven.log" >&2; exit 1; }
		cp "$pom" "$jars/pom.xml"
	done
}

flock 9 # one installation at a time
install_python
case " ${suites[*]} " in *" lab "* | *" java "* | *" groups "* | *" share "* | *" streams "* | *" telemetry "* | *" tools "* | *" connections "*) install_java ;; esac
flock -u 9
case " ${suites[*]} " in *" connections "*)
	(cd "$here/go" && go build -o "$work/transactions-go" ./transactions)
	(cd "$here/confluent-go" && go build -o "$work/transactions-confluent-go" .)
	;;
esac

if [ -z "$against" ] && [ -z "$broker" ]; then
	broker=$work/broker
	(cd "$here/.." && go build -o "$broker" ./cmd/broker)
fi

table=$work/results
: >"$table"
began=$SECONDS
for suite in "${suites[@]}"; do
	echo "== $suite"
	before=$(wc -l <"$table")
	status=0
	(
		cd "$here/python"
		export COMPAT_SUITE=$suite COMPAT_RESULTS=$table COMPAT_JARS=$cache/jars
		export COMPAT_AGAINST=$against COMPAT_BROKER=$broker COMPAT_PROGRAMS=$work PYTHONDONTWRITEBYTECODE=1
		exec timeout --kill-after=10 "$suite_limit_s" "$venv/bin/pytest" ${expression:+-k "$expression"} ${files[$suite]} 9>&-
	) || status=$?
	# 5: -k left nothing of this suite. Anything else without a failed check is a failure of the suite itself.
	if [ "$status" -ne 0 ] && [ "$status" -ne 5 ] && ! tail -n +$((before + 1)) "$table" | cut -f4 | grep -q FAIL; then
		printf '%s\t-\tthe suite ended with status %d\tFAIL\t0\n' "$suite" "$status" >>"$table"
	fi
done

echo
awk -F'\t' '{ printf "%-4s  %6.1f s  %-12s  %s\n", $4, $5, $1, $3 }' "$table"
[ -z "$results" ] || cp "$table" "$results"
passed=$(cut -f4 "$table" | grep -c PASS || true)
failed=$(cut -f4 "$table" | grep -c FAIL || true)
echo "took $((SECONDS - began)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
