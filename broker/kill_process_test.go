package broker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"once/internal/kafkatest"
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

// process is a broker in a process of its own, which can be killed, or kill itself; or in this one, of which only the
// address is known.
type process struct {
	*kafkatest.Launched
	addr   string // "" when it ended before it was ready
	admin  string
	faults string
}

// launch starts the program on a data directory. faults is a rule of package
// fault, or empty. The process is returned also when it ended before it was ready.
func launch(t *testing.T, dir, faults string, args ...string) *process {
	t.Helper()
	c := exec.Command(program(t), append([]string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--admin", ""},
		args...)...)
	if faults != "" {
		c.Args = append(c.Args, "--inject-fault", faults)
	}
	c.Env = []string{}
	p := kafkatest.Launch(t, c)
	return &process{Launched: p, addr: p.Listen, admin: p.Admin, faults: faults}
}
