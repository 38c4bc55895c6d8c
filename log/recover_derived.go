package log

// recoverDerived adapts epochs, aborted transactions and snapshots to the end of the log.
func (rc *recoverer) recoverDerived() error {
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
	l.snapshotsAtOpen.Store(&found)
	for _, offset := range found {
		if offset > end {
			if err := l.RemoveSnapshot(offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverEpochs uses the checkpoint if it agrees with the newest batch, and else reads all headers.
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
	all, err := l.scanEpochs()
	if err != nil {
		return err
	}
	l.epochs.reset(all)
	l.epochsChecked.Store(true)
	if err := l.writeEpochs(); err != nil {
		l.logger.Warn("leader epochs not written; the next start reads them from the batches", "dir", l.dir, "error", err)
	}
	return nil
}

// newestEpoch is the leader epoch of the last batch.
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
		w := newWalker(s, f, floorPosition(entries, MaxSegmentOffsets), size)
		newest := int32(-1)
		for w.next() {
			newest = w.header.LeaderEpoch
		}
		w.close()
		return newest, w.err
	}
	return -1, nil
}
