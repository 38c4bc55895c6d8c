package findings

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// Commit is a commit of offsets that has succeeded.
type Commit struct {
	Group           string
	MemberID        string // "" where the client names none
	TransactionalID string // "" for a commit outside of transactions
}

// group is what is known of the commits of a group.
type group struct {
	inTransactions, plain commits
}

// groupBytes is about the size of a group, with what its slices point to.
const groupBytes = 4096

// maxMembers is how many members of a group are remembered for each kind of commit; then the oldest goes.
const maxMembers = 64

// commits are the commits of one kind.
type commits struct {
	last            Client
	namesMember     bool     // the last one does
	transactionalID string   // of the last one
	members         []uint64 // hashes of their IDs
}

func (c *commits) add(by Client, of *Commit, member uint64) {
	if c.last.Connection != by.Connection {
		c.last = by.kept()
	}
	c.namesMember = of.MemberID != ""
	if c.transactionalID != of.TransactionalID {
		c.transactionalID = clip(of.TransactionalID, maxKept)
	}
	if of.MemberID == "" || slices.Contains(c.members, member) {
		return
	}
	if len(c.members) == maxMembers {
		c.members = slices.Delete(c.members, 0, 1)
	}
	c.members = append(c.members, member)
}

// OffsetsCommitted notices a group whose offsets are committed in transactions and outside of them, by one program:
//   - one member does both;
//   - or the commits in transactions name no member, and the other client is still connected.
//
// So it is no finding that a group moves from one way to the other with a new version of its program, or that somebody
// resets the offsets of a group whose program has stopped.
func (f *Findings) OffsetsCommitted(by Client, c Commit) {
	if f == nil {
		return
	}
	member := hash(c.MemberID)
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.mu.groups.get(c.Group)
	if g == nil {
		if g = f.mu.groups.add(strings.Clone(c.Group), groupBytes); g == nil {
			return
		}
	}
	kind, other := &g.plain, &g.inTransactions
	if c.TransactionalID != "" {
		kind, other = other, kind
	}
	kind.add(by, &c, member)
	oneMember := c.MemberID != "" && slices.Contains(other.members, member)
	noMember := !g.inTransactions.namesMember && other.last.connected()
	if !oneMember && !noMember {
		return
	}
	f.noteLocked(MixedCommits, c.Group, 0, fmt.Sprintf("Group %s commits offsets in transactions (transactional ID %s, "+
		"client %s) and outside of them (client %s): an offset committed outside of a transaction stays when the "+
		"transaction is aborted, and its outputs are lost.", quoted(c.Group), quoted(g.inTransactions.transactionalID),
		quoted(g.inTransactions.last.ID), quoted(g.plain.last.ID)), Subjects{
		Group: strings.Clone(c.Group), TransactionalID: g.inTransactions.transactionalID,
		Clients: clientsOf(g.inTransactions.last, g.plain.last),
	})
}

// Unstable is a committed offset that lies beyond the last stable offset, up to which there are records.
type Unstable struct {
	Group            string
	Topic            string
	Partition        int32
	Offset           int64
	LastStableOffset int64
}

// CommittedUnstable notices that a group has committed an offset beyond the last stable offset.
func (f *Findings) CommittedUnstable(by Client, u Unstable) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	about := Subjects{Group: strings.Clone(u.Group), Topic: strings.Clone(u.Topic), Partition: &u.Partition,
		Clients: clientsOf(by.kept())}
	f.noteLocked(UnstableCommit, u.Group+"\x00"+u.Topic+"\x00"+strconv.Itoa(int(u.Partition)), 0,
		fmt.Sprintf("Group %s committed offset %d of %s-%d, beyond the last stable offset %d: client %s has read, or "+
			"skipped, records of a transaction that is open and can still be aborted.",
			quoted(u.Group), u.Offset, clip(u.Topic, maxShown), u.Partition, u.LastStableOffset, quoted(by.ID)), about)
}

func hash(text string) uint64 {
	if text == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}
