package agent

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"once/compat/eos/history"
)

// The mistakes that a copier can make on purpose, to see that they are noticed.
const (
	Skip    = "skip"    // some inputs have no output
	Twice   = "twice"   // some outputs are sent twice
	Outside = "outside" // offsets are committed outside of the transaction, before its records are sent
)

// Mutants are all of them.
var Mutants = []string{Skip, Twice, Outside}

// mutated says whether a copier with a mistake makes it with an input: with one of 50.
func (c *copier) mutated(id int64) bool { return history.Mix(c.cfg.Seed+5, id)%50 == 0 }

// outputs are the numbers of the outputs that the copier makes of an input.
func (c *copier) outputs(id int64) (outputs []int) {
	for k := range c.cfg.Outputs(id) {
		if c.Mutant == Skip && c.mutated(id) {
			continue
		}
		outputs = append(outputs, k)
		if c.Mutant == Twice && c.mutated(id) {
			outputs = append(outputs, k)
		}
	}
	return outputs
}

// commitOutside commits the offsets of a transaction at once. Whether that succeeds is of no interest.
func (c *copier) commitOutside(b *batch) {
	offsets := map[int32]kgo.EpochOffset{}
	for p, next := range b.offsets {
		offsets[p] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	c.session.Client().CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{c.cfg.Logs[0].Topic: offsets}, nil)
}
