package kafkatest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePort returns a port of all addresses at which nobody listens. It lies below those that systems give to whoever
// asks for any port, and to clients: so nobody takes it before the test does.
func FreePort(t testing.TB) int {
	t.Helper()
	const first, ports = 20_000, 10_000
	for range 1000 {
		port := first + rand.IntN(ports)
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}
