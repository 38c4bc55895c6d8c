package log

import "slices"

// maxRanges bounds the memory of a set. Readers go forward, so there are few ranges.
const maxRanges = 64

type byteRange struct{ from, to int64 }

// byteRanges is a set of positions: ranges that ascend and do not touch.
type byteRanges []byteRange

// touching returns the indexes [i, j) of the ranges that overlap or adjoin a range.
func (b byteRanges) touching(from, to int64) (i, j int) {
	for i < len(b) && b[i].to < from {
		i++
	}
	for j = i; j < len(b) && b[j].from <= to; {
		j++
	}
	return i, j
}

// add adds a range to the set.
func (b *byteRanges) add(from, to int64) {
	i, j := b.touching(from, to)
	if i < j {
		from, to = min(from, (*b)[i].from), max(to, (*b)[j-1].to)
	}
	*b = slices.Replace(*b, i, j, byteRange{from, to})
}

// forgetBeyond keeps the set within maxRanges by dropping ranges.
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
