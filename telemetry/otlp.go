package telemetry

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The parts of OTLP's MetricsData that are read (opentelemetry/proto/metrics/v1), by the numbers of their fields; all
// others are skipped:
//
//	MetricsData{1: ResourceMetrics{2: ScopeMetrics{2: Metric}}}
//	Metric{1: name, 5: Gauge, 7: Sum, 9: Histogram, 10: ExponentialHistogram, 11: Summary}, each with 1: data point
//	Sum{2: temporality, 3: monotonic}
//	data point of Gauge and Sum{4: double, 6: sfixed64}, of the others{4: fixed64 count, 5: double sum}
const (
	fieldResources, fieldScopes, fieldMetrics = 1, 2, 2
	fieldName                                 = 1
	fieldGauge, fieldSum                      = 5, 7
	fieldHistogram, fieldSummary              = 9, 11
	fieldPoint                                = 1
	fieldTemporality, fieldMonotonic          = 2, 3
	fieldDouble, fieldInt                     = 4, 6
	fieldCount, fieldTotal                    = 4, 5
	temporalityDelta                          = 1
)

// point is a data point.
type point struct {
	counted bool    // value is to be added to what was counted before
	value   float64 // of a gauge, or a sum
	// Of histograms and summaries, in place of value: how many values there were, and their sum.
	distribution bool
	count        uint64
}

// decode calls each with the data points of all metrics. It allocates nothing; name is valid during the call. ok is
// false where the bytes are no MetricsData; each has been called for what stands before.
func decode(data []byte, each func(name []byte, p point)) (ok bool) {
	return messages(data, fieldResources, func(resource []byte) bool {
		return messages(resource, fieldScopes, func(scope []byte) bool {
			return messages(scope, fieldMetrics, func(metric []byte) bool { return decodeMetric(metric, each) })
		})
	})
}

// field is a field of a message, with its bytes or its number.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte
	bits   uint64
}

// fields calls each with the fields of a message, and returns false where they cannot be read, or each does.
func fields(message []byte, each func(f field) bool) bool {
	for len(message) > 0 {
		var f field
		var n int
		f.number, f.kind, n = protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		switch f.kind {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		case protowire.Fixed32Type:
			_, n = protowire.ConsumeFixed32(message)
		default: // groups, which OTLP does not have
			return false
		}
		if n < 0 || !each(f) {
			return false
		}
		message = message[n:]
	}
	return true
}

// messages calls each with the messages in one field of a message.
func messages(of []byte, number protowire.Number, each func(message []byte) bool) bool {
	return fields(of, func(f field) bool {
		return f.number != number || f.kind == protowire.BytesType && each(f.bytes)
	})
}

func decodeMetric(metric []byte, each func(name []byte, p point)) bool {
	var name []byte // it may stand behind the data
	ok := fields(metric, func(f field) bool {
		if f.number != fieldName {
			return true
		}
		name = f.bytes
		return f.kind == protowire.BytesType
	})
	return ok && fields(metric, func(f field) bool {
		if f.number < fieldGauge || f.number > fieldSummary || f.kind != protowire.BytesType {
			return true
		}
		counted := f.number == fieldSum && isDelta(f.bytes)
		return messages(f.bytes, fieldPoint, func(data []byte) bool {
			p := point{counted: counted, distribution: f.number >= fieldHistogram}
			has, ok := p.decode(data)
			if has {
				each(name, p)
			}
			return ok
		})
	})
}

// isDelta says whether a Sum is what was counted since the last push, and does not fall. Any other one is a value.
func isDelta(sum []byte) bool {
	delta, monotonic := false, false
	fields(sum, func(f field) bool {
		switch {
		case f.number == fieldTemporality && f.kind == protowire.VarintType:
			delta = f.bits == temporalityDelta
		case f.number == fieldMonotonic && f.kind == protowire.VarintType:
			monotonic = f.bits != 0
		}
		return true
	})
	return delta && monotonic
}

// decode reads a data point. has is false where it has no value.
func (p *point) decode(data []byte) (has, ok bool) {
	ok = fields(data, func(f field) bool {
		switch {
		case f.kind != protowire.Fixed64Type:
		case p.distribution && f.number == fieldCount:
			p.count, has = f.bits, true
		case p.distribution && f.number == fieldTotal:
			p.value = math.Float64frombits(f.bits)
		case !p.distribution && f.number == fieldDouble:
			p.value, has = math.Float64frombits(f.bits), true
		case !p.distribution && f.number == fieldInt:
			p.value, has = float64(int64(f.bits)), true
		}
		return true
	})
	return has, ok
}
