package tools

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/apiname"
)

func versionsCommand(e *env) *cobra.Command {
	c := &cobra.Command{}
	e.connection.flags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error { return e.printVersions(c.Context()) }
	return c
}

// printVersions prints the versions of the APIs of each broker.
func (e *env) printVersions(ctx context.Context) error {
	ctx, admin, done, err := e.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	metadata, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	versions, err := admin.ApiVersions(ctx)
	if err != nil {
		return err
	}
	for _, b := range metadata.Brokers {
		served := versions[b.NodeID]
		if served.Err != nil {
			return served.Err
		}
		rack := "null"
		if b.Rack != nil {
			rack = *b.Rack
		}
		var lines []string
		served.EachKeySorted(func(key, low, high int16) {
			span := fmt.Sprintf("%d to %d", low, high)
			if low == high {
				span = fmt.Sprint(low)
			}
			usable := "UNKNOWN"
			if request := kmsg.RequestForKey(key); request != nil {
				usable = fmt.Sprint(min(high, request.MaxVersion()))
			}
			lines = append(lines, fmt.Sprintf("\t%s(%d): %s [usable: %s]", apiname.Of(key), key, span, usable))
		})
		e.print("%s:%d (id: %d rack: %s isFenced: false) -> (\n%s\n)\n", b.Host, b.Port, b.NodeID, rack,
			strings.Join(lines, ",\n"))
	}
	return nil
}
