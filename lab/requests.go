package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"once/faults"
	"once/requestlog"
)

// Request is a request of a client that the broker remembers.
type Request = requestlog.Entry

func requestCalls() []call {
	return []call{
		on(http.MethodGet, "/requests", "The last requests of clients; follow=true streams them as server-sent events",
			requestsIn).
			takes("api", "transactionalId", "group", "topic", "client", "since", "limit", "follow"),
	}
}

func requestsIn(x *exchange, _ *none) ([]Request, error) {
	log := x.cluster.Requests()
	if log == nil {
		return nil, fails(http.StatusNotFound, "requests are not remembered while the lab is off (lab=false)")
	}
	limit, err := x.number("limit", requestlog.MaxEntries, 1, requestlog.MaxEntries)
	if err != nil {
		return nil, err
	}
	keep, after, err := x.requestFilter()
	if err != nil {
		return nil, err
	}
	follow, err := x.flag("follow")
	if err != nil {
		return nil, err
	}
	if follow {
		return nil, x.follow(log, after, keep)
	}
	return append([]Request{}, log.Entries(after, int(limit), keep)...), nil
}

// requestFilter returns which requests are wanted: since is the ID of an entry, behind which, or a time.
func (x *exchange) requestFilter() (keep func(*Request) bool, after uint64, err error) {
	var from time.Time
	if since := x.query.Get("since"); since != "" {
		if after, err = strconv.ParseUint(since, 10, 64); err != nil {
			if from, err = time.Parse(time.RFC3339Nano, since); err != nil {
				return nil, 0, wrong("?since", "must be the id of a request, or a time like 2030-01-01T00:00:00Z")
			}
		}
	}
	names := func(name string) faults.Names {
		if x.query.Get(name) == "" {
			return nil // it is not filtered by
		}
		return x.query[name]
	}
	anyOf := func(of faults.Names, names ...string) bool {
		return len(of) == 0 || slices.ContainsFunc(names, of.Match)
	}
	return func(e *Request) bool {
		return anyOf(names("api"), e.API) && anyOf(names("client"), e.ClientID) && anyOf(names("topic"), e.Topics...) &&
			anyOf(names("group"), e.Groups...) && anyOf(names("transactionalId"), e.TransactionalIDs...) && !e.At.Before(from)
	}, after, nil
}

// follow streams requests until the client goes: those that are remembered, and those that come.
func (x *exchange) follow(log *requestlog.Log, after uint64, keep func(*Request) bool) error {
	release, err := x.wait()
	if err != nil {
		return err
	}
	defer release()
	x.began = true
	controller := http.NewResponseController(x.writer)
	_ = controller.SetWriteDeadline(time.Time{})
	_ = controller.SetReadDeadline(time.Time{})
	h := x.writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	x.writer.WriteHeader(http.StatusOK)
	ctx := x.request.Context()
	for ctx.Err() == nil {
		for _, e := range log.Entries(after, requestlog.MaxEntries, func(*Request) bool { return true }) {
			after = e.ID
			if !keep(&e) {
				continue
			}
			text, err := json.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(x.writer, "id: %d\ndata: %s\n\n", e.ID, text); err != nil {
				return nil // the client has gone
			}
		}
		if controller.Flush() != nil {
			return nil
		}
		log.Await(ctx, after)
	}
	return nil
}
