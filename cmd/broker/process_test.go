package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"once/admin"
	"once/internal/kafkatest"
)

// process is a running broker.
type process struct {
	*kafkatest.Launched
	listen, admin string
	listeners     string // all of several, by name
	stderr        *kafkatest.Log
}

// launch starts the program in dir and waits for its ready line.
func launch(t *testing.T, dir string, adjust func(*exec.Cmd), args ...string) *process {
	t.Helper()
	c := exec.Command(program, args...)
	// The race detector would sleep for a second before each exit.
	c.Dir, c.Env = dir, []string{asProgram, "TMPDIR=" + dir, "GORACE=atexit_sleep_ms=0"}
	if adjust != nil {
		adjust(c)
	}
	p := kafkatest.Launch(t, c)
	if p.Listen == "" {
		t.Fatalf("stdout %q; stderr\n%s", p.Line, &p.Log)
	}
	if p.Took <= 0 {
		t.Errorf("took no time: %s", p.Line)
	}
	return &process{p, p.Listen, p.Admin, p.Listeners, &p.Log}
}

// stop sends the signal and returns the exit code and how long the end took.
func (p *process) stop(t *testing.T, signal os.Signal) (code int, took time.Duration) {
	t.Helper()
	began := time.Now()
	return p.Stop(signal), time.Since(began)
}

func TestStartHealthStop(t *testing.T) {
	const heldUp = time.Minute // a connection may be idle for ten
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		dir := t.TempDir()
		p := launch(t, dir, nil, "start", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "num.partitions=3",
			"--set", "a.b=1", "--set", "num.io.threads=9")
		c, err := net.Dial("tcp", p.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() // an open connection does not hold up the stop
		if code, stdout, stderr := execute(t, "health", "--admin", p.admin); code != 0 || stdout != "ready\n" {
			t.Errorf("health: exit %d, %q, %q", code, stdout, stderr)
		}
		code, took := p.stop(t, signal)
		if code != exitClean || took > heldUp {
			t.Errorf("%v: exit %d after %v; stderr\n%s", signal, code, took, p.stderr)
		}
		if p.listeners != "" {
			t.Errorf("of one listener the ready line says listeners=%s", p.listeners)
		}
		for _, want := range []string{"num.partitions=3", "unknown settings are ignored", "a.b", "no effect",
			"num.io.threads"} {
			if !strings.Contains(p.stderr.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, p.stderr)
			}
		}
		if code, _, stderr := execute(t, "health", "--admin", p.admin); code != exitFailure || stderr == "" {
			t.Errorf("health without a broker: exit %d, %q", code, stderr)
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
			t.Errorf("the data directory: %v", err)
		}
	}
}

func TestHealthIsReadiness(t *testing.T) {
	server, err := admin.Start("127.0.0.1:0", admin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := checkReady(server.Addr()); err == nil {
		t.Error("a broker that is not ready is healthy")
	}
	server.SetReady(true)
	_, port, _ := net.SplitHostPort(server.Addr())
	for _, address := range []string{server.Addr(), "0.0.0.0:" + port, ":" + port} {
		if err := checkReady(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestStartsAgainOnItsData(t *testing.T) {
	dir := t.TempDir()
	for _, end := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
		p := launch(t, dir, nil, "--listen", "127.0.0.1:0", "--admin", "")
		code, _ := p.stop(t, end)
		if end == syscall.SIGTERM && code != exitClean {
			t.Errorf("exit %d; stderr\n%s", code, p.stderr)
		}
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, nil, "--ephemeral", "--listen", "127.0.0.1:0", "--admin", "")
	if p.admin != "off" {
		t.Errorf("admin=%s", p.admin)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d; stderr\n%s", code, p.stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDataDirectoryInUseExitsWith3(t *testing.T) {
	dir := t.TempDir()
	launch(t, dir, nil, "--data-dir", filepath.Join(dir, "d"), "--listen", "127.0.0.1:0", "--admin", "")
	code, stdout, stderr := execute(t, "--data-dir", filepath.Join(dir, "d"), "--listen", "127.0.0.1:0", "--admin", "")
	if code != exitStorage || stdout != "" || !strings.Contains(stderr, "in use") {
		t.Errorf("exit %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}

// Every listener for clients is opened, and named at the end of the ready line where there are several. The
// controller's is not opened, which the log says once.
func TestReadyLineNamesSeveralListeners(t *testing.T) {
	environ := []string{"KAFKA_LISTENERS=CONTROLLER://127.0.0.1:1,PLAINTEXT://127.0.0.1:0,TC-0://localhost:0,",
		"KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TC-0:PLAINTEXT",
		"KAFKA_PROCESS_ROLES=broker,controller",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:32768,TC-0://10.0.0.1 10.1.0.1:9093,",
		"KAFKA_INTER_BROKER_LISTENER_NAME=TC-0"}
	p := launch(t, t.TempDir(), func(c *exec.Cmd) { c.Env = append(c.Env, environ...) }, "--admin", "")
	named := strings.Split(p.listeners, ",")
	if len(named) != 2 || named[0] != "PLAINTEXT://"+p.listen || !strings.HasPrefix(named[1], "TC-0://127.0.0.1:") {
		t.Fatalf("listen=%s listeners=%s", p.listen, p.listeners)
	}
	for _, name := range named {
		_, address, _ := strings.Cut(name, "://")
		dial(t, address)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d", code)
	}
	log := p.stderr.String()
	for _, want := range []string{"listener=PLAINTEXT://127.0.0.1:0 address=" + p.listen +
		" advertised=PLAINTEXT://localhost:32768", "advertised=TC-0://10.0.0.1:9093",
		"listener=CONTROLLER://127.0.0.1:1"} {
		if strings.Count(log, want) != 1 {
			t.Errorf("the log does not say %q once:\n%s", want, log)
		}
	}
}

// strict is a flag, a setting, and a variable of either name; the start says what it is.
func TestStrictIsSetInAnyWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("strict=true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args    []string
		environ string
		want    bool
	}{
		{nil, "", false},
		{[]string{"--strict"}, "", true},
		{[]string{"--strict=false"}, "ONCE_STRICT=true", false},
		{[]string{"--set", "strict=true"}, "", true},
		{[]string{"--set", "strict=true", "--strict=false"}, "", false},
		{[]string{"--config", file}, "", true},
		{nil, "ONCE_STRICT=true", true},
		{nil, "KAFKA_STRICT=true", true},
		{[]string{"--config", file}, "KAFKA_STRICT=false", false},
	} {
		p := launch(t, t.TempDir(), func(c *exec.Cmd) { c.Env = append(c.Env, tc.environ) },
			append(tc.args, "--ephemeral", "--listen", "127.0.0.1:0", "--admin", "")...)
		if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
			t.Errorf("%v %s: exit %d\n%s", tc.args, tc.environ, code, p.stderr)
		}
		if got := strings.Contains(p.stderr.String(), "strict=true"); got != tc.want {
			t.Errorf("%v %s: strict is %v\n%s", tc.args, tc.environ, got, p.stderr)
		}
	}
}
