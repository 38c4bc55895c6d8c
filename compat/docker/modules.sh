#!/usr/bin/env bash
# The Testcontainers modules of each language, as users install them, start the container image and talk to it.
#
#   modules.sh [-k EXPRESSION] [LANGUAGE...]    all languages; only checks whose name matches the expression
#
# A language is a folder of modules/ with a run.sh, and examples/LANGUAGE where there is one, whose README has the command
# in its first sh block. modules/README.md says what a run.sh gets and prints. ONCE_IMAGE names an image to take instead of
# building one. Needs root or a Docker engine, see engine.sh, and the languages. Where no engine can be had it says so, and
# exits with 0; with ONCE_ENGINE=required that is a failure. Ends with "N passed, N failed".
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly language_limit_s=${ONCE_LANGUAGE_LIMIT_S:-600}

expression=''
[ "${1:-}" != -k ] || { expression=$2; shift 2; }
case ${1:-} in -*) sed -n '2,9p' "$0" >&2; exit 2 ;; esac
languages=("$@")
[ ${#languages[@]} -gt 0 ] || mapfile -t languages < <(cd "$here/modules" && ls -d */run.sh 2>/dev/null | xargs -rn1 dirname)

# One run at a time uses the engine of its own: the first to end would stop it under the others.
engine_dir=${ONCE_ENGINE_DIR:-${TMPDIR:-/tmp}/once-docker}
mkdir -p "$engine_dir"
exec 9>"$engine_dir/lock"
flock 9

if ! engine=$("$here/engine.sh" start 9>&-); then
	[ "${ONCE_ENGINE:-}" != required ] || { printf '0 passed, 1 failed\n'; exit 1; }
	printf 'not run: there is no Docker engine here\n0 passed, 0 failed\n'
	exit 0
fi
eval "$engine"
export DOCKER_HOST

# What this run starts bears its label, and is removed by it. Ryuk, which would do that, is an image that may not be had.
label=once.modules=$$
work=$(mktemp -d)
cleanup() {
	local containers
	containers=$(docker ps -aq --filter "label=$label")
	[ -z "$containers" ] || docker rm -fv $containers >/dev/null
	docker rmi once-modules:8.1.0 >/dev/null 2>&1
	rm -rf "$work"
	[ "$STARTED" = no ] || "$here/engine.sh" stop
}
trap cleanup EXIT
trap 'exit 130' INT TERM
export TESTCONTAINERS_RYUK_DISABLED=${TESTCONTAINERS_RYUK_DISABLED:-true}

passed=0 failed=0
add() { passed=$((passed + $1)) failed=$((failed + $2)); }
fail() { printf 'FAIL %s\n' "$*"; add 0 1; }

# with_limit COMMAND... writes to the terminal and to $work/out.
with_limit() {
	timeout --kill-after=10 "$language_limit_s" "$@" 2>&1 9>&- </dev/null | tee "$work/out"
	return "${PIPESTATUS[0]}"
}

run_language() { # LANGUAGE
	local status=0 line
	with_limit "$here/modules/$1/run.sh" ${expression:+-k "$expression"} || status=$?
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/out" | tail -1)
	if [ -z "$line" ]; then
		fail "$1: it ended with status $status and without a line 'N passed, N failed'"
		return
	fi
	read -r ok _ bad _ <<<"${line/,/}"
	[ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
	add "$ok" "$bad"
}

use_env() { # LANGUAGE: the tools and caches of its run.sh
	[ ! -e "$here/modules/$1/env.sh" ] || . "$here/modules/$1/env.sh"
}

run_example() { # LANGUAGE, with the command of its README
	local folder=$root/examples/$1 name="example of $1" command
	[ -e "$folder/README.md" ] && [[ $name =~ $expression ]] || return 0
	command=$(awk '/^```sh/ { inside = 1; next } inside && /^```/ { exit } inside' "$folder/README.md")
	[ -n "$command" ] || { fail "$name: its README has no command"; return; }
	printf '$ %s\n' "$command"
	if (use_env "$1" && cd "$folder" && with_limit bash -euo pipefail -c "$command") >"$work/example" 2>&1; then
		printf 'ok %s\n' "$name"
		add 1 0
	else
		tail -30 "$work/example"
		fail "$name"
	fi
}

if [ -z "${ONCE_IMAGE:-}" ]; then
	{ "$here/engine.sh" bases && make -C "$root" --no-print-directory image IMAGE=once:modules VERSION=8.1.0; } >"$work/build" 2>&1 9>&- ||
		{ tail -15 "$work/build"; printf '0 passed, 1 failed\n'; exit 1; }
	ONCE_IMAGE=once:modules
fi
printf 'FROM %s\nLABEL %s\n' "$ONCE_IMAGE" "$label" | docker build -q -t once-modules:8.1.0 - >/dev/null || { printf '0 passed, 1 failed\n'; exit 1; }
export ONCE_IMAGE=once-modules:8.1.0

for language in "${languages[@]}"; do
	printf '== %s\n' "$language"
	began=$SECONDS
	[ ! -e "$here/modules/$language/run.sh" ] || run_language "$language"
	run_example "$language"
	printf 'took %d s\n' $((SECONDS - began))
done

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ] && [ $passed -gt 0 ]
