package tools

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// requestTimeout bounds what one command does with the broker, as Kafka's default.api.timeout.ms does.
const requestTimeout = 60 * time.Second

// unreachableAfter is how long a tool tries to connect.
const unreachableAfter = 5 * time.Second

// connection is how a tool reaches the broker.
type connection struct {
	servers, controllers, commandConfig string
	properties                          []string // further client properties, NAME=VALUE
}

func (c *connection) flags(flags *pflag.FlagSet) {
	flags.StringVar(&c.servers, "bootstrap-server", "", "the broker, `HOST:PORT`; several with commas")
	flags.StringVar(&c.controllers, "bootstrap-controller", "",
		"the controller, `HOST:PORT`; the same as --bootstrap-server")
	flags.StringVar(&c.commandConfig, "command-config", "",
		"a property `file` for the client; security other than PLAINTEXT is refused")
}

// readProperties reads the lines of a property file.
func readProperties(name string) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var properties []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "!") {
			properties = append(properties, line)
		}
	}
	return properties, lines.Err()
}

// client connects. Without an address the error is that of Kafka's tools.
func (e *env) client(options ...kgo.Opt) (*kgo.Client, error) {
	c := e.connection
	servers := c.servers
	if servers == "" {
		servers = c.controllers
	}
	if servers == "" {
		return nil, errors.New("--bootstrap-server must be specified")
	}
	properties, err := readProperties(c.commandConfig)
	if err != nil {
		return nil, err
	}
	base := []kgo.Opt{
		kgo.ClientID("kafka-" + e.tool), kgo.SeedBrokers(strings.Split(servers, ",")...),
		kgo.RetryTimeout(requestTimeout), kgo.DialTimeout(unreachableAfter), kgo.RequestRetries(5),
		kgo.Dialer(new(net.Dialer).DialContext),
	}
	for _, p := range append(properties, c.properties...) {
		name, value, _ := strings.Cut(p, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		option, err := clientOption(name, value)
		if err != nil {
			return nil, err
		}
		if option != nil {
			base = append(base, option)
		}
	}
	return kgo.NewClient(append(base, options...)...)
}

// clientOption returns the option for a property of Kafka's Java client; nil if it has no effect here.
func clientOption(name, value string) (kgo.Opt, error) {
	switch {
	case name == "client.id":
		return kgo.ClientID(value), nil
	case name == "security.protocol" && !strings.EqualFold(value, "PLAINTEXT"),
		strings.HasPrefix(name, "sasl."), strings.HasPrefix(name, "ssl."):
		return nil, fmt.Errorf("%s=%s: these tools connect without TLS and SASL; use Apache Kafka's", name, value)
	}
	return nil, nil
}

// withClient runs one part of a command with a client, and bounds it.
func (e *env) withClient(ctx context.Context, run func(ctx context.Context, client *kgo.Client) error) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return run(ctx, client)
}

// admin connects, and bounds the whole command.
func (e *env) admin(ctx context.Context) (context.Context, *kadm.Client, func(), error) {
	client, err := e.client()
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	return ctx, kadm.NewClient(client), func() { cancel(); client.Close() }, nil
}

// reason is the broker's message, or that of the error code if there is none.
func reason(err error, message string) string {
	if message != "" {
		return message
	}
	var code *kerr.Error
	if errors.As(err, &code) {
		return code.Description
	}
	return err.Error()
}
