package durability

// Sizes are the thresholds of this package. They change no answer. Zero means the default, which suits a broker; tests
// use small ones.
type Sizes struct {
	JournalGroupBytes int   // most that a barrier writes to the journal; with more it syncs the files
	AdmitBytes        int64 // what clients may append between two looks at the free space
}

const (
	journalGroupBytes = 1 << 20 // more is not worth writing twice
	admitBytes        = 1 << 20 // others write to the disk, too
)

func (s Sizes) withDefaults() Sizes {
	orDefault(&s.JournalGroupBytes, journalGroupBytes)
	orDefault(&s.AdmitBytes, admitBytes)
	return s
}

func orDefault[N int | int64](n *N, value N) {
	if *n <= 0 {
		*n = value
	}
}
