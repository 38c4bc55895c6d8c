package kafkatest

import (
	"fmt"
	"strings"

	"once/log/batch"
)

// Batches describes the batches of a Fetch, each by its offsets, what it is, who wrote it and its base sequence:
// [0-2 data (p,0) sequence=3, 3-3 commit (p,0)]. letter names a producer ID.
func Batches(raw []byte, letter func(producerID int64) string) string {
	var all []string
	for len(raw) > 0 {
		h, err := batch.ParseHeader(raw)
		if err != nil || h.SizeBytes() > len(raw) {
			all = append(all, "part of a batch")
			break
		}
		all = append(all, described(raw[:h.SizeBytes()], h, letter))
		raw = raw[h.SizeBytes():]
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func described(b []byte, h batch.Header, letter func(int64) string) string {
	kind := "plain"
	switch m, isMarker, err := batch.ParseMarker(b); {
	case isMarker && err == nil:
		kind = m.Type.String()
	case h.IsTransactional():
		kind = "data"
	}
	text := fmt.Sprintf("%d-%d %s", h.BaseOffset, h.LastOffset(), kind)
	if h.HasProducer() {
		text += fmt.Sprintf(" (%s,%d)", letter(h.ProducerID), h.ProducerEpoch)
	}
	if h.BaseSequence >= 0 {
		text += fmt.Sprintf(" sequence=%d", h.BaseSequence)
	}
	if _, err := batch.Verify(b); err != nil {
		text += " broken"
	}
	return text
}
