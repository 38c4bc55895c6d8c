# How long the first record takes, beside Apache Kafka. Sourced by run.sh.

first_record() { # ten times what is wanted, which is 150 ms, as for all limits of time
	local lines ms
	lines=$("$here/start.sh" $image) || fail "$lines" || return 1
	sed 's/^/figure: /' <<<"$lines"
	ms=$(sed -n 's/.*first record: \([0-9]*\) ms.*/\1/p' <<<"$lines")
	[ "$ms" -le 1500 ] || fail "$ms ms"
}

check 'the first record from the host' first_record
