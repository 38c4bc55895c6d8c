package log

import "once/log/batch"

// derived brings epochs, aborted transactions and snapshots in line with the end of the log.
func (rc *recoverer) derived() error {
	l := rc.log
	if len(l.list()) == 0 {
		return nil
	}
	if err := rc.recoverEpochs(); err != nil {
		return err
	}
	end := l.end.Load()
	to, err := l.loadAborted(end)
	if err != nil {
		return err
	}
	rc.report.AbortedIndexTo = to
	found := snapshotsOf(rc.names)
	l.found.Store(&found)
	for _, offset := range found {
		if offset > end {
			if err := l.RemoveSnapshot(offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverEpochs takes the checkpoint if it agrees with the newest batch, and else reads all headers.
func (rc *recoverer) recoverEpochs() error {
	l := rc.log
	entries, err := l.loadEpochs(l.end.Load())
	if err != nil {
		return err
	}
	l.epochs.reset(entries)
	newest, err := rc.newestEpoch()
	if err != nil {
		return err
	}
	if newest == l.lastLeaderEpoch() {
		return nil
	}
	var all []epochEntry
	err = l.scanHeaders(0, l.end.Load(), func(h batch.Header, _ func() ([]byte, error)) error {
		if n := len(all); h.LeaderEpoch >= 0 && (n == 0 || h.LeaderEpoch > all[n-1].leaderEpoch) {
			all = append(all, epochEntry{h.LeaderEpoch, h.BaseOffset})
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.epochs.reset(all)
	if err := l.writeEpochs(); err != nil {
		l.logger.Warn("leader epochs not written; the next start reads them from the batches", "dir", l.dir, "error", err)
	}
	return nil
}

// newestEpoch is the largest leader epoch among the last batches; they never go down.
func (rc *recoverer) newestEpoch() (int32, error) {
	l := rc.log
	segments := l.list()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		_, size := s.bounds()
		if size == 0 {
			continue
		}
		entries, err := s.index()
		if err != nil {
			return 0, err
		}
		f, err := s.handle()
		if err != nil {
			return 0, err
		}
		w := newWalker(s, f, floorPosition(entries, maxSegmentOffsets), size)
		newest := int32(-1)
		for w.next() {
			newest = max(newest, w.header.LeaderEpoch)
		}
		w.close()
		return newest, w.err
	}
	return -1, nil
}
