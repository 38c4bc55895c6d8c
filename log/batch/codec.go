package batch

import "fmt"

// Codec is a compression of a batch's records, by its number in the attributes.
type Codec int8

// The codecs of Kafka; 5 to 7 fit into the attributes and are undefined.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

// isKnown says whether this broker can read the codec.
func (c Codec) isKnown() bool { return c >= None && c <= Zstd }

// String is the codec's name as in compression.type.
func (c Codec) String() string {
	switch c {
	case None:
		return "uncompressed"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", int8(c))
}
