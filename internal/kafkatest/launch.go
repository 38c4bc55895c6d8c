package kafkatest

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Launched is a broker in a process of its own. A process that ended before it was ready has no addresses.
type Launched struct {
	*exec.Cmd
	Listen, Admin string
	Listeners     string        // all of several, by name
	Took          time.Duration // until it was ready, as it says itself
	Line          string        // the first one of its output
	Log           Log           // what it has written to stderr
	Exited        chan struct{} // closed when the process has ended
}

// Log is written by a process and read by a test.
type Log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what has been written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var readyLine = regexp.MustCompile(`^ready listen=(\S+) admin=(\S+) took=(\S+)(?: listeners=(\S+))?\n$`)

// Launch starts a command, whose outputs it sets, and waits until the broker is ready or the process has ended. The
// process is killed at the end of the test.
func Launch(t testing.TB, c *exec.Cmd) *Launched {
	t.Helper()
	p := &Launched{Cmd: c, Exited: make(chan struct{})}
	c.Stderr = &p.Log
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	p.Line, _ = bufio.NewReader(stdout).ReadString('\n')
	go func() {
		_ = c.Wait()
		close(p.Exited)
	}()
	if m := readyLine.FindStringSubmatch(p.Line); m != nil {
		p.Listen, p.Admin, p.Listeners = m[1], m[2], m[4]
		p.Took, _ = time.ParseDuration(m[3])
	} else if p.Line == "" { // end of file
		<-p.Exited
	}
	return p
}

// Wait waits until the process has ended.
func (p *Launched) Wait() { <-p.Exited }

// Kill kills the process, as kill -9 does, and waits until it is gone.
func (p *Launched) Kill() {
	_ = p.Process.Kill()
	p.Wait()
}

// Stop sends a signal and returns the exit code.
func (p *Launched) Stop(signal os.Signal) int {
	_ = p.Process.Signal(signal)
	p.Wait()
	return p.ProcessState.ExitCode()
}

// Killed waits until the process has ended, and reports whether it was by SIGKILL.
func (p *Launched) Killed() bool {
	p.Wait()
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
