package driver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test program plays the broker: started with these arguments it listens and prints a ready line.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "--listen" {
		playBroker(os.Args[2])
	}
	os.Exit(m.Run())
}

func playBroker(listen string) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("some other line")
	fmt.Printf("ready listen=%s admin=127.0.0.1:1 took=1ms\n", l.Addr())
	select {}
}

func TestBinaryIsKilledAndRestartedOnItsPort(t *testing.T) {
	ctx := context.Background()
	s := Binary(os.Args[0], t.TempDir(), "", "")
	address, err := s.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Fatal("still listening after the kill")
		}
		if err := s.Restart(ctx, false); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("not on its port after the restart: %v", err)
		}
		conn.Close()
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Died(); err == nil {
		t.Error("a broker that is gone runs")
	}
	if err := s.Kill(); err != nil {
		t.Errorf("killing a broker that is gone: %v", err)
	}
}

func TestBinaryThatDoesNotStartIsAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "broker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Binary(path, dir, "", "").Start(context.Background()); err == nil ||
		!strings.Contains(err.Error(), "before it was ready") {
		t.Errorf("got %v", err)
	}
}

func TestCommandsTellAddressAndPID(t *testing.T) {
	ctx := context.Background()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Commands(fmt.Sprintf("sleep 60 >/dev/null & echo kafka=%s:$!", l.Addr()), "", "", "", false)
	address, err := s.Start(ctx)
	if err != nil || address != l.Addr().String() {
		t.Fatalf("address %q, %v; want %s", address, err, l.Addr())
	}
	l.Close()
	if err := s.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	if _, err := Commands("echo nothing useful", "", "", "", false).Start(ctx); err == nil {
		t.Error("output without an address was accepted")
	}
}
