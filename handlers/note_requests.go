package handlers

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/internal/apiname"
	"once/requestlog"
	"once/wire"
)

// noteRequest is a step of the chain: it remembers each request and what has become of it, for tests. It is the first,
// so that it sees what all others do.
func (s *Services) noteRequest(next handler) handler {
	return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
		if s.Requests == nil {
			return next(ctx, r, row)
		}
		counts := s.countsAsWork(r)
		n := notes.Get().(*noted)
		n.s, n.r, n.began, n.counts = s, r, time.Now(), counts
		n.describe(row)
		if counts {
			s.Requests.Begin()
		}
		done := false
		defer func() { // after a panic
			if !done && counts {
				s.Requests.End(time.Now())
			}
		}()
		reply := n.note(next(ctx, r, row))
		done = true
		return reply
	}
}

// noted is a request that is remembered when it ends.
type noted struct {
	s      *Services
	r      *wire.Request
	began  time.Time
	counts bool
	entry  requestlog.Entry // its lists are used again: the log copies them
	codes  []wire.Code
}

// notes are those of requests that have ended, to be used again: each request needs one.
var notes = sync.Pool{New: func() any { return new(noted) }}

func (n *noted) note(reply wire.Reply) wire.Reply {
	switch then, resume := reply.Then, reply.Resume; {
	case resume != nil:
		reply.Resume = func(ctx context.Context) wire.Reply { return n.note(resume(ctx)) }
	case then != nil:
		reply.Then = func(ctx context.Context) kmsg.Response {
			resp := then(ctx)
			n.end(resp, resp == nil)
			return resp
		}
	default:
		n.end(reply.Response, reply.Close)
	}
	return reply
}

func (n *noted) end(resp kmsg.Response, closed bool) {
	e := &n.entry
	switch {
	case resp != nil:
		e.Outcome = "answered"
		n.noteCodes(resp)
	case closed:
		e.Outcome = "closed"
	default:
		e.Outcome = "none"
	}
	now := time.Now()
	e.Fault, e.Took = n.r.Fault, requestlog.Took(now.Sub(n.began))
	n.s.Requests.Add(e)
	if n.counts {
		n.s.Requests.End(now)
	}
	n.s, n.r = nil, nil
	notes.Put(n)
}

// describe fills the entry with what is known before the request is carried out.
func (n *noted) describe(row *row) {
	r := n.r
	topics, groups, ids, codes := n.entry.Topics[:0], n.entry.Groups[:0], n.entry.TransactionalIDs[:0], n.entry.Codes[:0]
	n.entry = requestlog.Entry{At: n.began.UTC(), API: apiname.Of(r.Key), Version: r.Version, ClientID: r.ClientID,
		Topics: topics, Groups: groups, TransactionalIDs: ids, Codes: codes}
	e := &n.entry
	if r.Conn != nil {
		e.Connection, e.Client = r.Conn.ID(), requestlog.Address{Addr: r.Conn.RemoteAddr()}
		e.Software, _ = r.Conn.ClientSoftware()
	}
	switch req := r.Body.(type) { // the first two have no need of all subjects
	case nil:
	case *kmsg.ProduceRequest:
		for i := range req.Topics[:min(len(req.Topics), requestlog.MaxNames)] {
			t := &req.Topics[i]
			e.Topics = append(e.Topics, n.s.Catalogue.lastingName(t.Topic, t.TopicID, r.Version >= 13))
		}
		if req.TransactionID != nil {
			e.TransactionalIDs = append(e.TransactionalIDs, strings.Clone(*req.TransactionID))
		}
	case *kmsg.FetchRequest:
		for i := range req.Topics[:min(len(req.Topics), requestlog.MaxNames)] {
			t := &req.Topics[i]
			e.Topics = append(e.Topics, n.s.Catalogue.lastingName(t.Topic, t.TopicID, r.Version >= 13))
		}
	default:
		n.describeSubjects(row)
	}
}

func (n *noted) describeSubjects(row *row) {
	if row.subjects == nil {
		return
	}
	e, about := &n.entry, row.subjects(n.s.Catalogue, n.r)
	for _, t := range about.Topics[:min(len(about.Topics), requestlog.MaxNames)] {
		e.Topics = append(e.Topics, n.s.Catalogue.lastingName(t.Name, t.ID, false))
	}
	for _, g := range about.Groups[:min(len(about.Groups), requestlog.MaxNames)] {
		e.Groups = append(e.Groups, strings.Clone(g))
	}
	for _, t := range about.Transactions[:min(len(about.Transactions), requestlog.MaxNames)] {
		e.TransactionalIDs = append(e.TransactionalIDs, strings.Clone(t.TransactionalID))
	}
}

// countsAsWork says whether a request shows that a client has work to do: not one that a client sends while it waits.
func (s *Services) countsAsWork(r *wire.Request) bool {
	switch kmsg.Key(r.Key) {
	case kmsg.Fetch, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat, kmsg.StreamsGroupHeartbeat,
		kmsg.Metadata,
		kmsg.ApiVersions, kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry:
		return false
	case kmsg.ShareFetch:
		return acknowledges(reflect.ValueOf(r.Body))
	case kmsg.OffsetCommit:
		return !s.Requests.Watched() || s.changesOffsets(r)
	}
	return true
}

// acknowledges says whether a ShareFetch has acknowledgements.
func acknowledges(v reflect.Value) bool {
	v = reflect.Indirect(v)
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			if acknowledges(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; strings.HasPrefix(name, "Acknowledg") && v.Field(i).Kind() == reflect.Slice &&
				v.Field(i).Len() > 0 {
				return true
			}
			if v.Field(i).Kind() == reflect.Slice && v.Type().Field(i).IsExported() && acknowledges(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

// changesOffsets says whether a commit has an offset that is not committed yet.
func (s *Services) changesOffsets(r *wire.Request) bool {
	req, ok := r.Body.(*kmsg.OffsetCommitRequest)
	if !ok {
		return true
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		name := t.Topic
		if found, code := s.Catalogue.TopicByID(t.TopicID); code == wire.NoError {
			name = found.Name
		}
		for j := range t.Partitions {
			committed := s.Groups.FetchOffsets(&groupcoordinator.FetchRequest{GroupID: req.Group,
				Topics: []groupcoordinator.FetchTopic{{Topic: name, Partitions: []int32{t.Partitions[j].Partition}}}})
			if !committed.Ready() {
				return true
			}
			found, err := committed.Wait(context.Background())
			if err != nil || found.Err != nil || found.Topics[0].Partitions[0].Offset != t.Partitions[j].Offset {
				return true
			}
		}
	}
	return false
}

// codePlan says where in a type the codes of an answer are.
type codePlan struct {
	embeds bool  // the codes are those of the first field, as in an answer that is encoded here
	codes  []int // fields
	lists  []codeList
}

type codeList struct {
	field int
	plan  *codePlan
}

var codePlans sync.Map // reflect.Type → *codePlan

func codePlanOf(t reflect.Type) *codePlan {
	if p, ok := codePlans.Load(t); ok {
		return p.(*codePlan)
	}
	p := &codePlan{}
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case i == 0 && f.Anonymous:
			p.embeds = true
			codePlans.Store(t, p)
			return p
		case f.Name == "ErrorCode" && f.Type.Kind() == reflect.Int16:
			p.codes = append(p.codes, i)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.IsExported():
			if of := codePlanOf(f.Type.Elem()); len(of.codes)+len(of.lists) > 0 {
				p.lists = append(p.lists, codeList{i, of})
			}
		}
	}
	codePlans.Store(t, p)
	return p
}

// noteCodes adds the codes in an answer to the entry, each once.
func (n *noted) noteCodes(resp kmsg.Response) {
	v := reflect.Indirect(reflect.ValueOf(resp))
	plan := codePlanOf(v.Type())
	if plan.embeds {
		v = v.Field(0).Elem()
		plan = codePlanOf(v.Type())
	}
	n.codes = plan.collect(v, n.codes[:0])
	e := &n.entry
	for _, c := range n.codes {
		if c != wire.NoError {
			e.Codes = append(e.Codes, c.String())
		}
	}
	if len(e.Codes) == 0 {
		e.Codes = append(e.Codes, noError)
	}
}

// noError is the code of an answer without another one.
var noError = wire.NoError.String()

func (p *codePlan) collect(v reflect.Value, codes []wire.Code) []wire.Code {
	for _, i := range p.codes {
		if c := wire.Code(v.Field(i).Int()); !slices.Contains(codes, c) {
			codes = append(codes, c)
		}
	}
	for _, l := range p.lists {
		list := v.Field(l.field)
		for j := range list.Len() {
			codes = l.plan.collect(list.Index(j), codes)
		}
	}
	return codes
}
