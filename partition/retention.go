package partition

import "fmt"

// DeleteRecords moves the log start offset up to an offset, -1 for the high watermark, and returns where
// it stands then. An offset below it changes nothing; one above the high watermark is
// ErrOffsetOutOfRange (spec: log 9). The move is durable with the next barrier.
func (p *Partition) DeleteRecords(offset int64) (logStartOffset int64, err error) {
	p.mu.Lock()
	if p.mu.offline != nil {
		defer p.mu.Unlock()
		return -1, p.offlineErrorLocked()
	}
	highWatermark := p.view.Load().highWatermark
	if offset == -1 {
		offset = highWatermark
	}
	if offset < 0 || offset > highWatermark {
		p.mu.Unlock()
		return -1, fmt.Errorf("%w: %d, high watermark %d", ErrOffsetOutOfRange, offset, highWatermark)
	}
	p.log.SetStartOffset(offset)
	wake := p.publishLocked(highWatermark)
	p.mu.Unlock()
	p.waiters.wake(wake)
	return p.LogStartOffset(), nil
}
