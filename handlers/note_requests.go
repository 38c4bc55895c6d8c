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
		n := &noted{s: s, r: r, began: time.Now(), counts: s.countsAsWork(r)}
		n.entry = s.entryOf(r, row, n.began)
		if n.counts {
			s.Requests.Begin()
		}
		done := false
		defer func() { // after a panic
			if !done && n.counts {
				s.Requests.End()
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
	entry  requestlog.Entry
}

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
		e.Outcome, e.Codes = "answered", codesOf(resp)
	case closed:
		e.Outcome = "closed"
	default:
		e.Outcome = "none"
	}
	if e.Codes == nil {
		e.Codes = []string{}
	}
	e.Fault, e.Took = n.r.Fault, requestlog.Took(time.Since(n.began))
	n.s.Requests.Add(*e)
	if n.counts {
		n.s.Requests.End()
	}
}

func (s *Services) entryOf(r *wire.Request, row *row, at time.Time) requestlog.Entry {
	e := requestlog.Entry{At: at.UTC(), API: apiname.Of(r.Key), Version: r.Version, ClientID: r.ClientID}
	if r.Conn != nil {
		e.Connection, e.Client = r.Conn.ID(), requestlog.Address{Addr: r.Conn.RemoteAddr()}
		e.Software, _ = r.Conn.ClientSoftware()
	}
	if row.subjects == nil || r.Body == nil {
		return e
	}
	about := row.subjects(s.Catalogue, r)
	for _, t := range about.Topics[:min(len(about.Topics), requestlog.MaxNames)] {
		e.Topics = append(e.Topics, strings.Clone(t.Name))
	}
	for _, g := range about.Groups[:min(len(about.Groups), requestlog.MaxNames)] {
		e.Groups = append(e.Groups, strings.Clone(g))
	}
	for _, t := range about.Transactions[:min(len(about.Transactions), requestlog.MaxNames)] {
		e.TransactionalIDs = append(e.TransactionalIDs, strings.Clone(t.TransactionalID))
	}
	return e
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
	codes []int // fields
	lists []codeList
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

// noError are the codes of an answer without an error. It is not changed.
var noError = []string{wire.NoError.String()}

// codesOf returns the codes in an answer, each once.
func codesOf(resp kmsg.Response) []string {
	v := fieldsOf(resp)
	var codes []wire.Code
	codes = codePlanOf(v.Type()).collect(v, codes)
	var names []string
	for _, c := range codes {
		if c != wire.NoError {
			names = append(names, c.String())
		}
	}
	if len(names) == 0 {
		return noError
	}
	return names
}

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
