package findings

import (
	"fmt"
	"strconv"
	"strings"
)

// idempotent is the producer that a connection has initialized.
type idempotent struct {
	producerID int64
}

// idempotentBytes is about the size of an idempotent.
const idempotentBytes = 256

// IdempotentInitialized says that a client without transactional ID has got a producer ID; previous is the one that it
// says it had, or -1. One that has one already resets its sequences. That is what clients do when they cannot know what
// became of a batch.
func (f *Findings) IdempotentInitialized(by Client, previous, given int64) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	connection := strconv.FormatInt(by.Connection, 10)
	p := f.mu.producers.get(connection)
	if previous < 0 && p != nil {
		previous = p.producerID
	}
	if p == nil {
		p = f.mu.producers.add(connection, idempotentBytes)
	}
	if p != nil {
		p.producerID = given
	}
	if previous < 0 {
		return
	}
	f.noteLocked(SequencesReset, connection, 0, fmt.Sprintf("The idempotent producer of client %s asked for a new "+
		"producer ID in place of %d, and got %d: its sequences begin again, and a batch that it sends once more is not "+
		"recognised as a duplicate.", quoted(by.ID), previous, given),
		Subjects{ProducerID: &previous, Clients: clientsOf(by.kept())})
}

// SequencesBegan says that a producer has written a batch outside of transactions with a higher epoch than before, and
// so with sequences that begin again.
func (f *Findings) SequencesBegan(by Client, producerID int64, producerEpoch int16, topic string, partition int32) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noteLocked(SequencesReset, "producer "+strconv.FormatInt(producerID, 10), 0, fmt.Sprintf("The idempotent producer "+
		"%d of client %s raised its epoch to %d and wrote to %s-%d: its sequences began again, and a batch that it sent "+
		"once more was not recognised as a duplicate.", producerID, quoted(by.ID), producerEpoch, clip(topic, maxShown),
		partition), Subjects{ProducerID: &producerID, Topic: strings.Clone(topic), Partition: &partition,
		Clients: clientsOf(by.kept())})
}
