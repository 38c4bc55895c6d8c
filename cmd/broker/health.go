package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"once/admin"
)

// healthTimeout bounds a question that a ready broker answers at once.
const healthTimeout = 2 * time.Second

func healthCommand() *cobra.Command {
	var address string
	c := &cobra.Command{
		Use:   "health",
		Short: "Exit with 0 when the broker on this machine is ready",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkReady(address); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "ready")
			return nil
		},
	}
	c.Flags().StringVar(&address, "admin", admin.DefaultAddress, "address of the broker's HTTP endpoint, `HOST:PORT`")
	return c
}

func checkReady(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return usageError{fmt.Errorf("--admin %s: must be HOST:PORT", address)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // what the broker listens on is not what one connects to
	}
	// A transport of its own: a proxy from the environment has no part in this.
	client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + net.JoinHostPort(host, port) + "/readyz")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("not ready")
	}
	return nil
}
