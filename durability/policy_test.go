package durability

import "testing"

// What waits in which mode (spec: reliability 2.1), for each kind of answer.
func TestAnswersThatWaitInEachMode(t *testing.T) {
	for a, want := range [answers]string{
		Produced:           "fsync",
		Flushed:            "page txn fsync",
		RecordsShown:       "fsync",
		RecordsDeleted:     "page txn fsync",
		GroupChanged:       "txn fsync",
		OffsetsShown:       "fsync",
		EpochGiven:         "page txn fsync",
		TransactionChanged: "",
		TransactionDecided: "txn",
		TransactionEnded:   "fsync",
		MarkersWritten:     "fsync",
	} {
		got := ""
		for _, m := range []Mode{Page, Txn, Fsync} {
			if m.waits(Answer(a)) {
				got += " " + m.String()
			}
		}
		if want != "" {
			want = " " + want
		}
		if got != want {
			t.Errorf("answer %d waits in%s, want%s", a, got, want)
		}
	}
}

// A later mode waits for all that an earlier one waits for, but where the answer behind it does.
func TestLaterModesWaitForMore(t *testing.T) {
	for a := range answers {
		if a != TransactionDecided && (Page.waits(a) && !Txn.waits(a) || Txn.waits(a) && !Fsync.waits(a)) {
			t.Errorf("answer %d", a)
		}
	}
	if !Fsync.waits(TransactionEnded) {
		t.Error("in fsync nothing waits for the decision of a transaction")
	}
}

func TestModesHaveNames(t *testing.T) {
	for m := Page; m.isKnown(); m++ {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Error(m, got, err)
		}
	}
	if m, err := ParseMode(""); m != Page || err != nil {
		t.Error(m, err)
	}
	if _, err := ParseMode("mode 3"); err == nil {
		t.Error("an unknown mode is taken")
	}
}
