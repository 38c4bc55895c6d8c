package broker_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// built is the program, built once for all tests.
var built struct {
	sync.Once
	dir string
	err error
}

// TestMain removes the program.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// program builds the program if need be, and returns its path.
func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "once-kill-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "broker"), "once/cmd/broker").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("building the program: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "broker")
}

// process is a broker in a process of its own, which can be killed, or kill itself.
type process struct {
	addr   string // "" when it ended before it was ready
	admin  string
	faults string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has
	stderr *lockedBuffer
}

// lockedBuffer is written by a process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch starts the program on a data directory. faults is a rule of package
// fault, or empty. The process is returned also when it ended before it was ready.
func launch(t *testing.T, dir, faults string, args ...string) *process {
	t.Helper()
	p := &process{faults: faults, exited: make(chan struct{}), stderr: &lockedBuffer{}}
	p.cmd = exec.Command(program(t), append([]string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--admin", ""}, args...)...)
	if faults != "" {
		p.cmd.Args = append(p.cmd.Args, "--inject-fault", faults)
	}
	p.cmd.Env, p.cmd.Stderr = []string{}, p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	if _, rest, ok := strings.Cut(line, "ready listen="); ok {
		p.addr, rest, _ = strings.Cut(rest, " admin=")
		p.admin, _, _ = strings.Cut(rest, " ")
	} else {
		<-p.exited
	}
	return p
}

// kill kills the process, as kill -9 does, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop ends the process with a signal and returns its exit code.
func (p *process) stop(signal os.Signal) int {
	_ = p.cmd.Process.Signal(signal)
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// killed reports whether the process has ended by SIGKILL.
func (p *process) killed() bool {
	<-p.exited
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
