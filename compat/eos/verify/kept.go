package verify

import (
	"once/compat/eos/history"
)

// keptGroup is what the keeper knows of one group's offsets.
type keptGroup struct {
	acknowledged int64 // the last offset whose commit was answered; −1 if none was
	asked        int64 // the highest offset that it asked to commit
}

// keptID is what the keeper was told of one transactional id.
type keptID struct {
	producerID int64 // −1 if nothing yet
	epoch      int16
}

// checkKept follows the keeper, who does one thing after the other: what it was told of groups and transactional ids
// holds from then on, after kills and compaction.
func checkKept(m *model, r *Result) {
	groups, ids := make([]keptGroup, m.Config.KeptGroups), make([]keptID, m.Config.KeptIDs)
	for i := range groups {
		groups[i] = keptGroup{-1, -1}
	}
	for i := range ids {
		ids[i].producerID = -1
	}
	owners := map[int64]int64{} // of producer ids
	finished := false
	for i := range m.Events {
		switch e := &m.Events[i]; e.Kind {
		case history.KindKeepCall:
			groups[e.From].asked = max(groups[e.From].asked, e.To)
		case history.KindKeepDone:
			groups[e.From].acknowledged = max(groups[e.From].acknowledged, e.To)
		case history.KindOffsets:
			r.Checked++
			checkKeptOffsets(e, groups[e.From], r)
		case history.KindIDs:
			for j, producerID := range e.ProducerIDs {
				if producerID >= 0 {
					r.Checked++
					ids[e.From+int64(j)].told(e.From+int64(j), keptID{producerID, e.ProducerEpochs[j]}, owners, r)
				}
			}
		case history.KindKept:
			finished = true
		}
	}
	if !finished && m.Config.KeptGroups > 0 {
		r.violate("what the keeper keeps could not be read at the end; see its exit event")
	}
}

func checkKeptOffsets(e *history.Event, g keptGroup, r *Result) {
	if len(e.Offsets) != 1 {
		r.violate("group %d was committed as a whole and has offsets %v", e.From, e.Offsets)
	}
	for _, offset := range e.Offsets {
		if offset < g.acknowledged || offset > g.asked {
			r.violate("group %d: offset %d was committed last, OffsetFetch later says %d (highest asked for: %d)",
				e.From, g.acknowledged, offset, g.asked)
		}
	}
	if e.Count > 0 {
		r.violate("group %d at %v: metadata of %d partitions is not what was committed with the offset",
			e.From, e.Offsets, e.Count)
	}
}

// told checks an answer to InitProducerId against the one before.
func (k *keptID) told(id int64, now keptID, owners map[int64]int64, r *Result) {
	if owner, ok := owners[now.producerID]; ok && owner != id {
		r.violate("producer id %d was given to transactional id %d, later to %d", now.producerID, owner, id)
	}
	owners[now.producerID] = id
	switch {
	case k.producerID >= 0 && now.producerID != k.producerID:
		r.violate("transactional id %d had producer id %d, later it has %d", id, k.producerID, now.producerID)
	case k.producerID >= 0 && now.epoch <= k.epoch:
		r.violate("transactional id %d: epoch %d was given out, later %d", id, k.epoch, now.epoch)
	}
	*k = now
}

// checkCleaned looks at the run and not at the broker: without compaction of the internal topics between the kills,
// a pass shows nothing about it.
func checkCleaned(m *model, r *Result) {
	midPass := 0
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindCleaner {
			continue
		}
		r.Checked++
		for _, missing := range e.Cleaner.Missing() {
			r.violate("before kill %d: %s", r.Checked, missing)
		}
		if e.Cleaner.MidPass {
			midPass++
		}
	}
	if r.Checked > 1 && midPass == 0 {
		r.violate("none of %d kills came in the middle of a pass", r.Checked)
	}
}
