package kafkatest

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Metric is a metric with one data point, as a client pushes it.
type Metric struct {
	Name       string
	Sum        bool // what was counted; else a gauge
	Cumulative bool // a sum since the start of the client, not since its last push
	Falls      bool // a sum that may fall
	Int        bool // the value is a whole number
	Value      float64
}

// MetricsData is the payload of PushTelemetry: MetricsData of OTLP, uncompressed.
func MetricsData(metrics ...Metric) []byte {
	var scope []byte
	for _, m := range metrics {
		scope = Message(scope, 2, m.encode())
	}
	return Message(nil, 1, Message(nil, 2, scope))
}

func (m *Metric) encode() []byte {
	var point []byte
	if m.Int {
		point = protowire.AppendTag(point, 6, protowire.Fixed64Type)
		point = protowire.AppendFixed64(point, uint64(int64(m.Value)))
	} else {
		point = protowire.AppendTag(point, 4, protowire.Fixed64Type)
		point = protowire.AppendFixed64(point, math.Float64bits(m.Value))
	}
	data, kind := Message(nil, 1, point), protowire.Number(5)
	if m.Sum {
		temporality := uint64(1)
		if m.Cumulative {
			temporality = 2
		}
		kind = 7
		data = protowire.AppendVarint(protowire.AppendTag(data, 2, protowire.VarintType), temporality)
		data = protowire.AppendVarint(protowire.AppendTag(data, 3, protowire.VarintType), protowire.EncodeBool(!m.Falls))
	}
	return Message(Message(nil, 1, []byte(m.Name)), kind, data)
}

// Message appends a message or a string as a field of a message.
func Message(to []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), message)
}
