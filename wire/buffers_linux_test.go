package wire

import (
	"syscall"
	"testing"
)

// The send buffer is the one that was asked for; Linux keeps as much again for its own.
func TestSendBufferIsBounded(t *testing.T) {
	const asked = 50_000
	s := start(t, options{APIs: echoAPIs(), Limits: Limits{SendBufferBytes: asked}}, 0)
	mustMetadata(t, s.dial())
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		raw, err := c.nc.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if cerr := raw.Control(func(fd uintptr) {
			got, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
		}); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		if got != 2*asked {
			t.Errorf("the send buffer has %d bytes, not %d", got, 2*asked)
		}
	}
}
