package broker_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/internal/script"
)

// clientInstanceID makes a client instance ID of a text. That of "client reserved" is given to no client.
func clientInstanceID(of string) (id [16]byte) {
	if strings.HasPrefix(of, "client reserved") {
		return [16]byte{15: 1}
	}
	sum := sha256.Sum256([]byte(of))
	copy(id[:], sum[:])
	return id
}

// pushedMetrics are metrics as a client pushes them: [CODEC] NAME=VALUE …, each of which is what was counted since the
// last push. A NAME of zeros=N gives N bytes of zeros, in a field that nobody reads, and 4 bytes before them.
func pushedMetrics(c script.Command, p *peer, words []string) []byte {
	codec := 0
	if len(words) > 0 {
		if n := slices.Index([]string{"", "gzip", "snappy", "lz4", "zstd"}, words[0]); n > 0 {
			codec, words = n, words[1:]
		}
	}
	var payload []byte
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatalf("%s: %v", c.Pos, err)
		}
		if name == "zeros" {
			payload = kafkatest.Message(payload, 15, make([]byte, int(n)))
			continue
		}
		payload = append(payload, kafkatest.MetricsData(kafkatest.Metric{Name: name, Sum: true, Value: n})...)
	}
	if codec == 0 {
		return payload
	}
	return deflated(int16(codec), bytes.NewReader(payload))
}

// cannotHold returns the reason why another broker cannot hold a conversation as this one does, "" for none.
func (p *peer) cannotHold(name string) string {
	if p.own != nil || !strings.HasPrefix(name, "telemetry") {
		return ""
	}
	versions := p.ask(kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
	takesMetrics := slices.ContainsFunc(versions.ApiKeys,
		func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == int16(kmsg.PushTelemetry) })
	switch off := name == "telemetry-off"; {
	case off && takesMetrics:
		return "it has a metrics reporter that takes the metrics of clients"
	case !off && !takesMetrics:
		return "it has no metrics reporter that takes the metrics of clients: see testdata/telemetry/TakeMetrics.java"
	}
	return ""
}
