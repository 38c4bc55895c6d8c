package driver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"once/compat/eos/history"
)

// System is the broker under test. Start and Restart return once the process answers; Kill returns once
// it is gone, also if it had died by itself. A system that cannot be killed has Kills false.
type System interface {
	Start(ctx context.Context) (address string, err error)
	Restart(ctx context.Context, last bool) error // last: no failpoint shall kill it again
	Kill() error
	Died() error // why it is gone without having been killed; nil while it runs, or if that is not known
	Stop() error
	Snapshot(dir string) error // writes files that say what the broker is doing, where it can tell
	// Cleaner says what the broker's cleaner has done, also when the broker is gone. Passes is left out.
	Cleaner() (*history.Cleaner, error)
	MidPass() bool // whether the cleaner is in the middle of a pass, or was when the broker died
	Cleans() bool  // whether all that can be seen
	Kills() bool
	Admin() string // HOST:PORT of the broker's lab; "" where it has none
	Own() bool     // whether it promises what this project's broker does beyond Kafka
}

// binarySystem runs this project's broker: it prints one ready line and can be killed by its process.
type binarySystem struct {
	path, dir string
	args      []string
	faults    string // separated by commas; with any, it is expected to die by itself
	address   string
	admin     string
	token     string // of the lab; "" for none
	cmd       *exec.Cmd
	done      chan struct{} // closed when cmd has been waited for
}

// errUnseen is the answer of a system whose cleaner cannot be seen.
var errUnseen = errors.New("this system does not tell what its cleaner does")

const readyLimit = 60 * time.Second

func (b *binarySystem) Kills() bool  { return true }
func (b *binarySystem) Own() bool    { return true }
func (b *binarySystem) Cleans() bool { return true }

// Admin is another address after each start.
func (b *binarySystem) Admin() string { return b.admin }

// Start begins on a free port; restarts stay on it.
func (b *binarySystem) Start(ctx context.Context) (string, error) {
	b.address = freeAddress()
	err := b.run(ctx, b.faults)
	return b.address, err
}

// freeAddress lies below the ports that systems give to clients. Those connect all the time while the broker is down:
// one of them would be given the broker's port as its own.
func freeAddress() string {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	return "127.0.0.1:0"
}

func (b *binarySystem) Restart(ctx context.Context, last bool) error {
	if last {
		return b.run(ctx, "")
	}
	return b.run(ctx, b.faults)
}

func (b *binarySystem) run(ctx context.Context, faults string) error {
	log, err := os.OpenFile(filepath.Join(b.dir, "broker.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	args := append([]string{"--listen", b.address, "--data-dir", string(b.data()), "--admin", "127.0.0.1:0"}, b.args...)
	for fault := range strings.SplitSeq(faults, ",") {
		if fault != "" {
			args = append(args, "--inject-fault", fault)
		}
	}
	b.cmd = exec.Command(b.path, args...)
	b.cmd.Stderr = log
	if b.token != "" {
		b.cmd.Env = append(os.Environ(), "ONCE_LAB_TOKEN="+b.token)
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	b.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				ready <- lines.Text()
				break
			}
		}
		for lines.Scan() {
		}
		_ = cmd.Wait()
		close(done)
	}(b.cmd, b.done)
	select {
	case line := <-ready:
		for _, field := range strings.Fields(line) {
			if listen, ok := strings.CutPrefix(field, "listen="); ok {
				b.address = listen
			}
			if admin, ok := strings.CutPrefix(field, "admin="); ok {
				b.admin = admin
			}
		}
		if b.address == "" || b.admin == "" {
			return fmt.Errorf("ready line without addresses: %q", line)
		}
		return nil
	case <-b.done:
		return fmt.Errorf("the broker exited before it was ready (%v): see %s", b.cmd.ProcessState, log.Name())
	case <-time.After(readyLimit):
		return errors.Join(fmt.Errorf("the broker was not ready within %v", readyLimit), b.Kill())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), b.Kill())
	}
}

func (b *binarySystem) Kill() error {
	err := b.cmd.Process.Kill()
	<-b.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Snapshot asks the admin endpoint for the broker's state and goroutines.
func (b *binarySystem) Snapshot(dir string) error {
	client := http.Client{Timeout: askLimit}
	ask := func(path, name string) error {
		request, err := http.NewRequest(http.MethodGet, "http://"+b.admin+path, nil)
		if err != nil {
			return err
		}
		authorize(request, b.token)
		resp, err := client.Do(request)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("%s: %s", path, resp.Status))
		}
		return errors.Join(err, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return errors.Join(ask("/state", "broker-state.txt"), ask("/debug/pprof/goroutine?debug=2", "broker-goroutines.txt"))
}

func (b *binarySystem) data() dataDir { return dataDir(filepath.Join(b.dir, "data")) }

func (b *binarySystem) MidPass() bool { return b.data().midPass() }

// Cleaner looks into the data directory and, while the broker runs, at its metrics.
func (b *binarySystem) Cleaner() (*history.Cleaner, error) {
	c, err := b.data().cleaner()
	if err == nil && b.Died() == nil {
		c.WrittenBytes, err = b.metric("once_log_cleaner_written_bytes_total")
	}
	return c, err
}

// metric reads a metric without labels from the admin endpoint.
func (b *binarySystem) metric(name string) (int64, error) {
	client := http.Client{Timeout: askLimit}
	resp, err := client.Get("http://" + b.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			return int64(value), err
		}
	}
	return 0, errors.Join(fmt.Errorf("the broker has no metric %s", name), lines.Err())
}

func (b *binarySystem) Died() error {
	select {
	case <-b.done:
		return fmt.Errorf("the broker died by itself (%v): see broker.log", b.cmd.ProcessState)
	default:
		return nil
	}
}

func (b *binarySystem) Stop() error {
	if err := b.Died(); err != nil {
		return err
	}
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.done:
		return nil
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("the broker did not stop within 10 s of SIGTERM"), b.Kill())
	}
}

// commandSystem is any broker started by shell commands whose last line of output ends in HOST:PORT:PID.
type commandSystem struct {
	start, restart, kill string // kill may be empty: SIGKILL to PID
	admin                string
	address              string
	pid                  int
	own                  bool
}

func (c *commandSystem) Kills() bool { return true }
func (c *commandSystem) Own() bool   { return c.own }

func (c *commandSystem) Admin() string { return c.admin }

func (c *commandSystem) Start(ctx context.Context) (string, error) {
	err := c.launch(ctx, c.start)
	return c.address, err
}

func (c *commandSystem) Died() error { return nil }

func (c *commandSystem) Snapshot(string) error { return nil }

func (c *commandSystem) Cleaner() (*history.Cleaner, error) { return nil, errUnseen }
func (c *commandSystem) MidPass() bool                      { return false }
func (c *commandSystem) Cleans() bool                       { return false }

func (c *commandSystem) Restart(ctx context.Context, _ bool) error { return c.launch(ctx, c.restart) }

var hostPortPID = regexp.MustCompile(`([^=\s]+:\d+):(\d+)$`)

func (c *commandSystem) launch(ctx context.Context, command string) error {
	// The output goes through a file: a pipe would stay open as long as the broker holds it.
	f, err := os.CreateTemp("", "eos-start-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdout, cmd.Stderr = f, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	out, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	m := hostPortPID.FindStringSubmatch(strings.TrimSpace(string(out)))
	if m == nil {
		return fmt.Errorf("%s: the output %q does not end in HOST:PORT:PID", command, out)
	}
	c.address = m[1]
	c.pid, _ = strconv.Atoi(m[2])
	return dialUntil(ctx, c.address)
}

func (c *commandSystem) Kill() error {
	if c.kill != "" {
		if err := exec.Command("sh", "-c", c.kill).Run(); err != nil {
			return err
		}
	} else if err := syscall.Kill(c.pid, syscall.SIGKILL); err != nil {
		return err
	}
	for deadline := time.Now().Add(readyLimit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", c.address); err != nil {
			return nil
		} else {
			conn.Close()
		}
	}
	return fmt.Errorf("%s still accepts connections after the kill", c.address)
}

func (c *commandSystem) Stop() error { return c.Kill() }

// externalSystem is a broker that somebody else runs.
type externalSystem struct {
	address, admin string
	own            bool
}

func (e *externalSystem) Start(ctx context.Context) (string, error) {
	return e.address, dialUntil(ctx, e.address)
}
func (e *externalSystem) Restart(context.Context, bool) error { return nil }
func (e *externalSystem) Died() error                         { return nil }
func (e *externalSystem) Snapshot(string) error               { return nil }
func (e *externalSystem) Cleaner() (*history.Cleaner, error)  { return nil, errUnseen }
func (e *externalSystem) MidPass() bool                       { return false }
func (e *externalSystem) Cleans() bool                        { return false }
func (e *externalSystem) Kill() error                         { return errors.New("an external broker is not killed") }
func (e *externalSystem) Stop() error                         { return nil }
func (e *externalSystem) Kills() bool                         { return false }
func (e *externalSystem) Own() bool                           { return e.own }
func (e *externalSystem) Admin() string                       { return e.admin }

func dialUntil(ctx context.Context, address string) error {
	for deadline := time.Now().Add(readyLimit); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
