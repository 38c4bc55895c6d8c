package wire

import (
	"syscall"
	"testing"
)

// The buffers of a connection are those that were asked for; Linux keeps as much again for its own.
func TestSocketBuffersAreBounded(t *testing.T) {
	const receive, send = 40_000, 50_000
	s := start(t, options{APIs: echoAPIs(), Limits: Limits{ReceiveBufferBytes: receive, SendBufferBytes: send}}, 0)
	mustMetadata(t, s.dial())
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		raw, err := c.nc.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for option, asked := range map[int]int{syscall.SO_RCVBUF: receive, syscall.SO_SNDBUF: send} {
			var got int
			if cerr := raw.Control(func(fd uintptr) {
				got, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, option)
			}); cerr != nil || err != nil {
				t.Fatal(cerr, err)
			}
			if got != 2*asked {
				t.Errorf("option %d has %d bytes, not %d", option, got, 2*asked)
			}
		}
	}
}
