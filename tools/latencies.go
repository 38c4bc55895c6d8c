package tools

import (
	"fmt"
	"time"
)

// maxLatency is the longest time in milliseconds that percentiles tell from longer ones.
const maxLatency = 1 << 16

// latencies count how long records took.
type latencies struct {
	records, bytes, total, longest int64
	counts                         []int64 // by milliseconds
}

func (l *latencies) add(ms int64, bytes int) {
	if l.counts == nil {
		l.counts = make([]int64, 64)
	}
	at := int(min(ms, maxLatency))
	if at >= len(l.counts) {
		l.counts = append(l.counts, make([]int64, at+1-len(l.counts))...)
	}
	l.counts[at]++
	l.records++
	l.bytes += int64(bytes)
	l.total += ms
	l.longest = max(l.longest, ms)
}

// rates are records and megabytes a second, and the mean latency.
func (l *latencies) rates(from, to time.Time) (records, megabytes, mean float64) {
	seconds := max(to.Sub(from).Seconds(), 0.001)
	n := float64(max(l.records, 1))
	return float64(l.records) / seconds, float64(l.bytes) / seconds / (1 << 20), float64(l.total) / n
}

// percentile is the latency that a part of the records did not exceed.
func (l *latencies) percentile(part float64) int {
	var seen int64
	for ms, count := range l.counts {
		if seen += count; float64(seen) >= part*float64(l.records) {
			return ms
		}
	}
	return 0
}

func (l *latencies) progress(from, to time.Time) string {
	records, megabytes, mean := l.rates(from, to)
	return fmt.Sprintf("%d records sent, %.1f records/sec (%.2f MB/sec), %.1f ms avg latency, %.1f ms max latency.\n",
		l.records, records, megabytes, mean, float64(l.longest))
}

func (l *latencies) summary(what string, from, to time.Time) string {
	records, megabytes, mean := l.rates(from, to)
	return fmt.Sprintf("%d %srecords sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, "+
		"%d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n", l.records, what, records, megabytes, mean, float64(l.longest),
		l.percentile(0.5), l.percentile(0.95), l.percentile(0.99), l.percentile(0.999))
}
