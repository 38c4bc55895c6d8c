#!/usr/bin/env bash
# Can the checks fail? Break one rule of the broker at a time and see that they do.
#
#   compat/mutants.sh [NAME...]     names of files in compat/mutants, without .patch; all without an argument
#
# A mutant is a patch with a header before it:
#
#   Rule: the rule that it breaks, in words
#   Caught by: SUITE/CHECK ...      each of these must fail (several such lines may be given)
#
# It is applied to a copy of this tree, as it is now, never to the tree itself. A mutant that does not apply
# or build any more counts as a failure: bring it up to date. Exit status: 0 when every mutant was caught by
# all the checks it names.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tab=$'\t'
survived=0

verdict() { printf '%-9s %-28s %s\n' "$1" "$2" "$3" | tee -a "$work/verdicts"; [ "$1" = caught ] || survived=$((survived + 1)); }

copy_tree() { # to
	mkdir -p "$1"
	git -C "$root" ls-files -z --cached --others --exclude-standard |
		(cd "$root" && tar --null --ignore-failed-read -cf - -T - 2>/dev/null) | tar -xf - -C "$1"
}

# One copy for all mutants, so that they are variants of the same tree; and it has to be sound itself.
copy_tree "$work/original"
(cd "$work/original" && go build -o "$work/broker" ./cmd/broker) || { echo "the tree itself does not build" >&2; exit 1; }

run_mutant() { # name
	local name=$1 patch=$here/mutants/$1.patch tree=$work/$1 checks suite check
	[ -e "$patch" ] || { verdict missing "$name" "no such mutant"; return; }
	checks=$(sed -n 's/^Caught by: //p' "$patch")
	cp -a "$work/original" "$tree"
	if ! patch --silent --batch -p1 -d "$tree" <"$patch" >"$work/patch.log" 2>&1; then
		verdict stale "$name" "does not apply"
		return
	fi
	if ! (cd "$tree" && go build -o "$work/broker" ./cmd/broker) >"$work/build.log" 2>&1; then
		verdict stale "$name" "does not build: $(tail -1 "$work/build.log")"
		return
	fi
	rm -rf "$tree"
	for suite in $(printf '%s\n' $checks | cut -d/ -f1 | sort -u); do
		local wanted expression
		wanted=$(printf '%s\n' $checks | sed -n "s|^$suite/||p")
		expression=$(printf '%s\n' $wanted | paste -sd' ' | sed 's/ / or /g')
		: >"$work/results"
		"$here/run.sh" --broker "$work/broker" --results "$work/results" -k "$expression" "$suite" >"$work/run.log" 2>&1 || true
		for check in $wanted; do
			# A check whose set-up failed has judged nothing.
			if grep -v "(setup)$tab" "$work/results" | grep -q "^$suite$tab$check\(\[.*\]\)\?$tab.*${tab}FAIL$tab"; then
				verdict caught "$name" "$suite/$check"
			else
				verdict SURVIVED "$name" "$suite/$check"
			fi
		done
	done
}

names=("$@")
[ ${#names[@]} -gt 0 ] || names=($(cd "$here/mutants" && ls | sed -n 's/\.patch$//p'))
for name in "${names[@]}"; do
	echo "== $name: $(sed -n 's/^Rule: //p' "$here/mutants/$name.patch" 2>/dev/null)"
	run_mutant "$name"
done
echo
sort "$work/verdicts"
echo "$(grep -c '^caught' "$work/verdicts" || true) caught, $survived not"
[ "$survived" -eq 0 ]
