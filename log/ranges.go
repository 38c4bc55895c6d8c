package log

import "slices"

// maxRanges bounds what is remembered. Readers go forward, so that there are few.
const maxRanges = 64

type byteRange struct{ from, to int64 }

// byteRanges is a set of positions: ranges that ascend and lie apart from each other.
type byteRanges []byteRange

// touching returns which ranges overlap or adjoin a range: those from i up to, not including, j.
func (b byteRanges) touching(from, to int64) (i, j int) {
	for i < len(b) && b[i].to < from {
		i++
	}
	for j = i; j < len(b) && b[j].from <= to; {
		j++
	}
	return i, j
}

// add takes in a range.
func (b *byteRanges) add(from, to int64) {
	i, j := b.touching(from, to)
	if i < j {
		from, to = min(from, (*b)[i].from), max(to, (*b)[j-1].to)
	}
	*b = slices.Replace(*b, i, j, byteRange{from, to})
}

// forgetBeyond keeps the set within maxRanges by leaving positions out.
func (b *byteRanges) forgetBeyond() {
	if n := len(*b); n > maxRanges {
		*b = (*b)[n-maxRanges:]
	}
}

// without returns the parts of a range that are not in the set.
func (b byteRanges) without(from, to int64) []byteRange {
	var parts []byteRange
	for _, r := range b {
		if r.to <= from {
			continue
		}
		if r.from >= to {
			break
		}
		if from < r.from {
			parts = append(parts, byteRange{from, r.from})
		}
		from = r.to
	}
	if from < to {
		parts = append(parts, byteRange{from, to})
	}
	return parts
}
