package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"once/cluster"
)

// asProgram in the environment makes the test binary run main: the program under test, with the race
// detector where the test has it. A separate build would leave `go test` believing its cache when only
// the program has changed.
const asProgram = "ONCE_TEST_RUN_MAIN=1"

var program string

func TestMain(m *testing.M) {
	if slices.Contains(os.Environ(), asProgram) {
		main()
	}
	var err error
	if program, err = os.Executable(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// execute runs a command line that ends by itself.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return executeWith(t, nil, args...)
}

func executeWith(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	c := exec.CommandContext(t.Context(), program, args...)
	c.Stdout, c.Stderr = &out, &errs
	c.Dir, c.Env = t.TempDir(), append([]string{asProgram}, environ...)
	if err := c.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestMistakesAreNamedAndExitWith2(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.properties")
	wrong := filepath.Join(dir, "wrong.properties")
	for name, text := range map[string]string{broken: "a=\\u12", wrong: "log.segment.bytes=12\nnum.partitions=x\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	badSeed, compacted := filepath.Join(dir, "seed.yaml"), filepath.Join(dir, "seed.json")
	for name, text := range map[string]string{badSeed: "- name: x\n  records:\n  - kye: a\n- {}\n",
		compacted: `[{"name": "x", "configs": {"cleanup.policy": "compact"},` + "\n" + `"records": [{"value": "v"}]}]`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--seed", badSeed},
			badSeed + " (--seed): \n  line 3: [0].records[0].kye: is not known here\n  line 4: [1].name: is missing"},
		{[]string{"--seed", compacted},
			compacted + " (--seed): line 2: [0].records[0].key: is missing, and the topic is compacted"},
		{[]string{"--seed", dir}, "--seed: read " + dir},
		{[]string{"--seed", "missing.yaml"}, "--seed: open missing.yaml"},
		{[]string{"--lisen", "x"}, "--lisen"},
		{[]string{"begin"}, `"begin"`},
		{[]string{"start", "now"}, `"now"`},
		{[]string{"version", "now"}, `"now"`},
		{[]string{"health", "--admin", "9644"}, "--admin 9644"},
		{[]string{"--set", "num.partitions"}, "NAME=VALUE"},
		{[]string{"--inject-fault", "txn.marker"}, `"txn.marker" is not of the form POINT=ACTION`},
		{[]string{"--inject-fault", "txn.mark=kill"}, `"txn.mark" is no point`},
		{[]string{"--inject-fault", "txn.expire=kill"}, "txn.expire has no such action"},
		{[]string{"--set", "num.partitions=0"}, "num.partitions=0 (--set): must be at least 1"},
		{[]string{"--durability", "disk"}, "durability=disk (--durability): must be one of page, txn, fsync"},
		{[]string{"--listen", "9092"}, "listeners=PLAINTEXT://9092 (--listen): must be NAME://HOST:PORT"},
		{[]string{"--listen", "h:65536"},
			"listeners=PLAINTEXT://h:65536 (--listen): has a port that is not between 0 and 65535"},
		{[]string{"--config", dir}, dir + " (--config): must be a file of settings, and is a directory"},
		{[]string{"--listen", ""}, "--listen must not be empty"},
		{[]string{"--config", filepath.Join(dir, "missing")}, "missing"},
		{[]string{"--config", broken}, "broken.properties: line 1"},
		{[]string{"--config", wrong}, "log.segment.bytes=12 (" + wrong + " line 1): must be at least 1048576"},
		{[]string{"start", "--config", wrong}, "num.partitions=x (" + wrong + " line 2): must be a whole number"},
		{[]string{"--ephemeral", "--data-dir", "x"}, "ephemeral"},
		{[]string{"--ephemeral", "--listen", "192.0.2.1:9092", "--admin", ""},
			"opening the listener PLAINTEXT://192.0.2.1:9092"},
	} {
		code, stdout, stderr := execute(t, c.args...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("broker %q: exit %d, stdout %q, stderr\n%s\nwant exit 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

// Of a listener that cannot be, one sentence names the setting, its value and what set it.
func TestListenersThatCannotBeExitWith2(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte("# one\nadvertised.listeners=PLAINTEXT://0.0.0.0:9092\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const names = "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=A:PLAINTEXT,B:PLAINTEXT,C:SASL_SSL"
	for _, c := range []struct {
		environ []string
		args    []string
		want    string
	}{
		{[]string{"KAFKA_LISTENERS=PLAINTEXT:9092"}, nil,
			`listeners=PLAINTEXT:9092 (KAFKA_LISTENERS): must be NAME://HOST:PORT, which "PLAINTEXT:9092" is not`},
		{[]string{names, "KAFKA_LISTENERS=A://:9092,B://:9092"}, nil,
			"listeners=A://:9092,B://:9092 (KAFKA_LISTENERS): A and B have one port, 9092"},
		{[]string{names, "KAFKA_LISTENERS=A://:9092,C://:9093"}, nil,
			"listeners=A://:9092,C://:9093 (KAFKA_LISTENERS): C has the security protocol SASL_SSL, and only PLAINTEXT is served"},
		{[]string{"KAFKA_LISTENERS=A://:99999"}, nil,
			"listeners=A://:99999 (KAFKA_LISTENERS): has a port that is not between 0 and 65535: 99999"},
		{[]string{"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=A:TLS"}, nil,
			"listener.security.protocol.map=A:TLS (KAFKA_LISTENER_SECURITY_PROTOCOL_MAP): must be LISTENER:PROTOCOL pairs"},
		{nil, []string{"--config", file},
			"advertised.listeners=PLAINTEXT://0.0.0.0:9092 (" + file +
				" line 2): must name an address that clients can reach, not 0.0.0.0"},
		{nil, []string{"--set", "advertised.listeners=PLAINTEXT://[::]:9092"},
			"advertised.listeners=PLAINTEXT://[::]:9092 (--set): must name an address"},
		{[]string{"ONCE_PORT=70000"}, nil, "published.port=70000 (ONCE_PORT): must be between 1 and 65535"},
	} {
		code, stdout, stderr := executeWith(t, c.environ, append(c.args, "--ephemeral", "--admin", "")...)
		sentence, rest, _ := strings.Cut(stderr, "\n")
		if code != exitUsage || !strings.HasPrefix(sentence, "broker: "+c.want) || rest != "See broker --help.\n" ||
			stdout != "" {
			t.Errorf("%q, broker %q: exit %d, stdout %q, stderr\n%s\nwant exit 2 and %q", c.environ, c.args, code, stdout,
				stderr, c.want)
		}
	}
}

func TestPortInUseExitsWith1(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr, port := taken.Addr().String(), fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	for _, args := range [][]string{
		{"--listen", addr, "--admin", ""},
		{"--set", "listeners=PLAINTEXT://127.0.0.1:0,SSL://" + addr, "--set",
			"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:PLAINTEXT", "--admin", ""},
		{"--listen", "127.0.0.1:0", "--admin", addr},
	} {
		code, stdout, stderr := execute(t, append(args, "--ephemeral")...)
		if code != exitFailure || stdout != "" || !strings.Contains(stderr, "broker: port "+port+" is taken") {
			t.Errorf("broker %q: exit %d, stdout %q, stderr\n%s", args, code, stdout, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := execute(t, "version")
	if code != 0 || !strings.HasPrefix(stdout, "once ") || !strings.Contains(stdout, " go1.") || stderr != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	got := versionLine(&debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
			{Key: "vcs.modified", Value: "true"},
		}})
	if want := "once v1.2.3 go1.26 abc+changes 2026-01-02T03:04:05Z"; got != want {
		t.Errorf("version line %q, want %q", got, want)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	code, stdout, _ := execute(t, "--help")
	for _, want := range []string{"--listen HOST:PORT", "127.0.0.1:9092", "--data-dir directory", "./data", "--ephemeral",
		"--admin HOST:PORT", "127.0.0.1:9644",
		"--config file", "--set NAME=VALUE", "--durability", "health", "version", "start"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the help does not say %q", want)
		}
	}
	if code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestExitCodes(t *testing.T) {
	for want, errs := range map[int][]error{
		exitClean:   {nil},
		exitFailure: {errors.New("x")},
		exitUsage: {usageError{errors.New("x")}, fmt.Errorf("y: %w", usageError{errors.New("x")}),
			fmt.Errorf("y: %w", cluster.ErrConfig)},
		exitStorage: {fmt.Errorf("y: %w", cluster.ErrStorage),
			errors.Join(errors.New("x"), fmt.Errorf("y: %w", cluster.ErrStorage))},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("%v: exit %d, want %d", err, got, want)
			}
		}
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	text := "num.partitions=1\nmax.connections=1\nmessage.max.bytes=1\nnode.id=9\nlisteners=PLAINTEXT://:1111\nlog.dirs=/file\nnobody.knows=1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KAFKA_NUM_PARTITIONS=2", "KAFKA_MAX_CONNECTIONS=2",
		"KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:2222,CONTROLLER://:3", "KAFKA_DURABILITY=txn",
		"KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"}
	cfg, unknown, err := configure(startFlags{config: file, set: []string{"num.partitions=3"}, admin: "a:1"}, environ)
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Settings
	topic, err := s.Topic(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(s.NumPartitions, s.MaxConnections, topic.MaxMessageBytes, s.NodeID, cfg.Listeners, cfg.DataDir,
		cfg.Durability, cfg.Admin, unknown)
	if want := "3 2 1 9 [PLAINTEXT://0.0.0.0:2222] /file txn a:1 [nobody.knows]\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cfg, _, err = configure(startFlags{config: file, listen: "h:7", dataDir: "/flag", durability: "fsync",
		set: []string{"listeners=PLAINTEXT://:8", "log.dirs=/set", "durability=page"}}, environ)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(cfg.Listeners, cfg.DataDir, cfg.Durability); got != "[PLAINTEXT://h:7] /flag fsync\n" {
		t.Errorf("flags with a name of their own: %s", got)
	}
	cfg, _, err = configure(startFlags{}, nil)
	if err != nil || fmt.Sprint(cfg.Listeners) != "[PLAINTEXT://127.0.0.1:9092]" || cfg.DataDir != "./data" ||
		cfg.Durability != "page" {
		t.Errorf("by default %+v, %v", cfg, err)
	}
}

// stuck is a broker whose Close never returns.
type stuck struct {
	closing chan struct{}
	done    chan struct{}
	err     error
}

func (s *stuck) Close() error          { close(s.closing); <-s.done; return nil }
func (s *stuck) Done() <-chan struct{} { return s.done }
func (s *stuck) Err() error            { return s.err }

func TestSecondSignalEndsAtOnce(t *testing.T) {
	b := &stuck{closing: make(chan struct{}), done: make(chan struct{})}
	defer close(b.done)
	signals := make(chan os.Signal)
	ended := make(chan error)
	go func() { ended <- wait(b, signals, slog.New(slog.NewTextHandler(io.Discard, nil))) }()
	signals <- syscall.SIGTERM
	<-b.closing
	signals <- syscall.SIGINT
	if err := <-ended; err == nil || exitCode(err) != exitFailure {
		t.Errorf("after a second signal: %v", err)
	}
}

func TestFailureWhileRunningEndsTheProcess(t *testing.T) {
	b := &stuck{done: make(chan struct{}), err: fmt.Errorf("sync: %w", cluster.ErrStorage)}
	close(b.done)
	if err := wait(b, nil, nil); exitCode(err) != exitStorage {
		t.Errorf("after a failed sync: %v", err)
	}
}
