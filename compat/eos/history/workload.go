package history

// The workload is a function of the seed: which partition an input goes to and which outputs it has.

// Mix is splitmix64 over seed and v: the source of every derived choice.
func Mix(seed, v int64) uint64 {
	x := uint64(seed)*0x9E3779B97F4A7C15 + uint64(v) + 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// InputLog is the index in Logs of the partition that input id is sent to.
func (c *Config) InputLog(id int64) int32 { return int32(Mix(c.Seed, id) % uint64(c.InParts)) }

// Outputs is the number of outputs of an input: none for 5 %, one for 50 %, two for 45 %.
func (c *Config) Outputs(id int64) int {
	switch d := Mix(c.Seed+1, id) % 100; {
	case d < 5:
		return 0
	case d < 55:
		return 1
	default:
		return 2
	}
}

// OutputLog is the index in Logs that output k of an input is sent to: output 0 goes to `out`, output 1
// to `audit`, so that one transaction spans topics and no partition holds two outputs of one input.
func (c *Config) OutputLog(id int64, k int) int32 {
	return c.InParts + int32(k)*c.OutParts + int32(Mix(c.Seed+2+int64(k), id)%uint64(c.OutParts))
}

// IsInput reports whether a log is a partition of `in`.
func (c *Config) IsInput(log int32) bool { return log < c.InParts }

// LogIndex maps topic and partition to the index in Logs.
func (c *Config) LogIndex() map[Log]int32 {
	m := make(map[Log]int32, len(c.Logs))
	for i, l := range c.Logs {
		m[l] = int32(i)
	}
	return m
}

// OutputNames are the headers with an input's ID in the inputs that have an output in `out`, in those that have one in
// `audit`, and in the outputs themselves.
var OutputNames = []string{"out", "audit"}
