package txncoordinator

import "testing"

func TestIsFromOlderConnection(t *testing.T) {
	c := loaded(t, newWorld(), nil)
	first := mustInit(t, c, "t")
	over := func(id int64) Connection { return Connection{ID: id, Software: "client", ClientID: "writer"} }
	check := func(what string, by Identity, over Connection, want bool) {
		t.Helper()
		if got := c.IsFromOlderConnection("t", by, over); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("the first connection", first, over(5), false)
	check("the same one", first, over(5), false)
	check("a newer one", first, over(9), false)
	check("the first one again", first, over(5), true)
	check("the newer one again", first, over(9), false)
	other := Identity{ProducerID: first.ProducerID, ProducerEpoch: first.ProducerEpoch + 1}
	check("an older one of an identity that was never handed out", other, over(1), false)
	check("an older one of another client ID", first, Connection{ID: 3, Software: "client", ClientID: "committer"}, false)
	check("an older one of other software", first, Connection{ID: 2, Software: "other", ClientID: "committer"}, false)
	check("a newer one, of the first client", first, over(9), false)
	check("an older one after that", first, over(4), true)

	second := mustInit(t, c, "t")
	check("a newer one of the identity from before", first, over(20), false)
	check("an older one of the next identity", second, over(8), false)
	check("one that is older still", second, over(7), true)
	if c.IsFromOlderConnection("nobody", second, over(1)) {
		t.Error("a transactional ID that is not known has an older connection")
	}
}
