package handlers

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// await answers with the value of a future, at once if it is there. failed makes a result from an error that is not one
// of the group's: an append that cannot be made durable. If the connection ends first it is closed.
func await[T any](f *groupcoordinator.Future[T], failed func(error) T, fill func(T) kmsg.Response) wire.Reply {
	wait := func(ctx context.Context) kmsg.Response {
		result, err := f.Wait(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			result = failed(err)
		}
		return fill(result)
	}
	if f.Ready() {
		return wire.Respond(wait(context.Background()))
	}
	return wire.Reply{Then: wait}
}

// clientHost is a client's address as Java prints it: tools show it as it is.
func clientHost(c *wire.Conn) string {
	if c == nil {
		return "/"
	}
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return "/" + c.RemoteAddr().String()
	}
	return "/" + host
}
