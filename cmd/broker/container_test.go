package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"once/settings"
)

func TestEntrypointTakesItsOwnCommands(t *testing.T) {
	root := commands(nil, time.Now())
	for line, want := range map[string]bool{
		"": true, "--durability fsync": true, "-h": true, "start": true, "check /data": true, "topics --list": true,
		"kafka-topics.sh --list": true, "help": true, "version": true,
		"sh -c x": false, "/etc/kafka/docker/run": false, "/usr/local/bin/broker": false, "nosuch": false,
	} {
		if got := isOwnCommand(strings.Fields(line), root); got != want {
			t.Errorf("%q is the program's own: %t", line, got)
		}
	}
}

// Called as the image calls it, the program runs what is no command of its own, in its place.
func TestEntrypointRunsOtherPrograms(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the image is for Linux")
	}
	link := filepath.Join(t.TempDir(), entrypointName)
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	call := func(arguments ...string) (int, string) {
		c := exec.Command(link, arguments...)
		c.Env = append(os.Environ(), asProgram)
		output, _ := c.CombinedOutput()
		return c.ProcessState.ExitCode(), string(output)
	}
	if code, output := call("sh", "-c", "echo hello; exit 7"); code != 7 || output != "hello\n" {
		t.Errorf("sh: exit code %d, printed %q", code, output)
	}
	if code, output := call("nosuch"); code != exitNotFound ||
		!strings.Contains(output, "nosuch is neither a command of the broker nor a program") {
		t.Errorf("a program that is not there: exit code %d, printed %q", code, output)
	}
	if code, output := call("version"); code != exitClean || !strings.HasPrefix(output, "once ") {
		t.Errorf("version: exit code %d, printed %q", code, output)
	}
}

func TestSettingsOfTheImage(t *testing.T) {
	mount := func(directory string) string {
		return "30 20 0:1 / / rw - overlay overlay rw\n31 30 0:2 / " + directory + " rw,relatime - ext4 /dev/x rw\n"
	}
	given := func(name string) settings.Source { return settings.Source{Values: settings.Values{name: "x"}} }
	for _, c := range []struct {
		what   string
		in     container
		others []settings.Source
		want   settings.Values
	}{
		{"outside", container{}, nil, nil},
		{"plainly", container{isImage: true}, nil, settings.Values{"log.dirs": "/var/lib/kafka/data",
			"listeners": "PLAINTEXT://:9092"}},
		{"a volume of Bitnami's", container{isImage: true, mounts: mount("/bitnami/kafka")}, nil,
			settings.Values{"log.dirs": "/bitnami/kafka/data", "listeners": "PLAINTEXT://:9092"}},
		{"a volume above Bitnami's", container{isImage: true, mounts: mount("/bitnami")}, nil,
			settings.Values{"log.dirs": "/bitnami/kafka/data", "listeners": "PLAINTEXT://:9092"}},
		{"a volume of wurstmeister's", container{isImage: true, mounts: mount("/kafka")}, nil,
			settings.Values{"log.dirs": "/kafka/kafka-logs", "listeners": "PLAINTEXT://:9092"}},
		{"both volumes", container{isImage: true, mounts: mount("/bitnami/kafka") + mount("/var/lib/kafka/data")}, nil,
			settings.Values{"log.dirs": "/var/lib/kafka/data", "listeners": "PLAINTEXT://:9092"}},
		{"log.dir is given", container{isImage: true}, []settings.Source{given("log.dir")},
			settings.Values{"listeners": "PLAINTEXT://:9092"}},
		{"advertised.listeners are given", container{isImage: true}, []settings.Source{{}, given("advertised.listeners")},
			settings.Values{"log.dirs": "/var/lib/kafka/data"}},
	} {
		got := c.in.defaults(c.others...).Values
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, wanted %v", c.what, got, c.want)
		}
		for name, value := range c.want {
			if got[name] != value {
				t.Errorf("%s: %s is %q, wanted %q", c.what, name, got[name], value)
			}
		}
	}
}

// Java's module waits for exactly one match of its words; others wait for theirs.
func TestReadyLinesMatchOnce(t *testing.T) {
	lines := readyLines(7)
	for _, words := range []string{
		"Transitioning from RECOVERY to RUNNING", "[KafkaServer id=7] started", "Kafka Server started",
		"Kafka broker started", "Creating new log file",
		"Checking need to trigger auto leader balancing",
	} {
		matches := 0
		for _, line := range lines {
			if strings.Contains(line, words) {
				matches++
			}
		}
		if matches != 1 {
			t.Errorf("%q is in %d lines", words, matches)
		}
	}
}

// Only the image asks for those lines: elsewhere a start prints one.
func TestReadyLinesAreForTheImage(t *testing.T) {
	for _, image := range []bool{false, true} {
		c := exec.Command(program, "start", "--ephemeral", "--listen", "127.0.0.1:0", "--admin", "")
		c.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool {
			return strings.HasPrefix(s,
				imageVariable+"=")
		}), asProgram)
		want := 1
		if image {
			c.Env = append(c.Env, imageVariable+"=true")
			want = 1 + len(readyLines(1))
		}
		var out lineCounter
		out.enough = make(chan struct{})
		out.want = want
		c.Stdout = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-out.enough
		_ = c.Process.Signal(os.Interrupt)
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		if out.lines != want {
			t.Errorf("in the image: %t; %d lines, wanted %d", image, out.lines, want)
		}
	}
}

// lineCounter counts lines, and closes enough at those that are wanted.
type lineCounter struct {
	lines, want int
	enough      chan struct{}
}

func (l *lineCounter) Write(p []byte) (int, error) {
	for range strings.Count(string(p), "\n") {
		if l.lines++; l.lines == l.want {
			close(l.enough)
		}
	}
	return len(p), nil
}

func TestDirectoryOfKafkaIsRefused(t *testing.T) {
	for _, name := range []string{"meta.properties", "__cluster_metadata-0"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := execute(t, "--data-dir", dir, "--listen", "127.0.0.1:0", "--admin", "")
		if code != exitUsage || !strings.Contains(stderr, dir+" holds data of Apache Kafka ("+name+")") {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
	}
}
