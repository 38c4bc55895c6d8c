# How long the first record takes, beside Apache Kafka. Sourced by run.sh.

first_record() { # ten times what is wanted, which is 150 ms, as for all limits of time
	local line ms
	line=$("$here/start.sh" $image) || fail "$line" || return 1
	echo "figure: $line"
	ms=$(sed 's/.*first record: \([0-9]*\) ms.*/\1/' <<<"$line")
	[ "$ms" -le 1500 ] || fail "$ms ms"
}

check 'the first record from the host' first_record
