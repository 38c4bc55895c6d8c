package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/admin"
	"once/settings"
)

// healthTimeout bounds a question that a ready broker answers at once.
const healthTimeout = 2 * time.Second

func healthCommand(environ []string) *cobra.Command {
	var adminAddr, listen string
	c := &cobra.Command{
		Use:   "health",
		Short: "Exit with 0 when the broker on this machine is ready",
		Long: "Exit with 0 when the broker on this machine is ready.\n\nIt asks the admin address, and where nothing " +
			"listens there, the first Kafka listener " +
			"of the settings in the environment.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkHealth(c, environ, adminAddr, listen); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "ready")
			return nil
		},
	}
	c.Flags().StringVar(&adminAddr, "admin", admin.DefaultAddress, "address of the broker's HTTP endpoint, `HOST:PORT`")
	c.Flags().StringVar(&listen, "listen", "", "ask this Kafka listener alone, `HOST:PORT`")
	return c
}

// checkHealth asks the address that is given, else the admin address, and the Kafka listener if the admin address is
// off.
func checkHealth(c *cobra.Command, environ []string, adminAddr, listen string) error {
	given := c.Flags().Changed("admin")
	if listen != "" && given {
		return usageError{errors.New("--admin and --listen exclude each other")}
	}
	if listen != "" {
		return checkListener("--listen "+listen, listen)
	}
	if value, ok := lookup(environ, adminVariable); ok && !given {
		adminAddr = value
	}
	if adminAddr != "" {
		err := checkReady(adminAddr)
		var network *net.OpError
		if isOff := errors.As(err, &network) && network.Op == "dial"; given || !isOff {
			return err
		}
	}
	address := firstListener(environ)
	return checkListener(address, address)
}

// firstListener is the first listener of a broker that is started with this environment and no flags.
func firstListener(environ []string) string {
	in := containerOf(environ)
	environment := settings.FromEnvironment(environ)
	file, err := readProperties(in.configFile(), "")
	if err != nil {
		file = settings.Source{}
	}
	s, _, err := settings.ResolveSources(environment, file, in.defaults(environment, file))
	if err != nil || len(s.Listeners) == 0 { // the broker does not start either
		return "127.0.0.1:9092"
	}
	return s.Listeners[0].Address()
}

// reachable is the address at which this machine reaches what listens on an address.
func reachable(what, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", usageError{fmt.Errorf("%s: must be HOST:PORT", what)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // what the broker listens on is not what one connects to
	}
	return net.JoinHostPort(host, port), nil
}

func checkReady(address string) error {
	address, err := reachable("--admin "+address, address)
	if err != nil {
		return err
	}
	// A transport of its own: a proxy from the environment has no part in this.
	client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("not ready")
	}
	return nil
}

// maxVersionsBytes bounds the answer to ApiVersions, which takes less than 1 KiB.
const maxVersionsBytes = 64 << 10

// checkListener asks a Kafka listener for its versions. A broker answers nothing before it is ready.
func checkListener(what, address string) error {
	address, err := reachable(what, address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	const correlationID = 1
	request := kmsg.NewRequestFormatter(kmsg.FormatterClientID("broker-health")).AppendRequest(nil,
		kmsg.NewPtrApiVersionsRequest(), correlationID)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var head [10]byte // length, correlation ID, error code
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	length, id, code := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:]),
		binary.BigEndian.Uint16(head[8:])
	if length > maxVersionsBytes || id != correlationID || code != 0 {
		return errors.New("what listens on " + address + " does not answer as a broker does: length " +
			strconv.Itoa(int(length)))
	}
	return nil
}
