package modules

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

var expression = flag.String("k", "", "only checks whose name matches this regular expression")

func TestMain(m *testing.M) {
	flag.Parse()
	if image() == "" {
		fmt.Println("ONCE_IMAGE has to name the image")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// image is the image under test.
func image() string { return os.Getenv("ONCE_IMAGE") }

// checks prints the result of each check in a line of its own.
type checks struct{ prefix string }

// matches reports whether this check is asked for.
func (c checks) matches(name string) bool {
	return regexp.MustCompile(*expression).MatchString(c.prefix + ": " + name)
}

// any reports whether one of these checks is asked for.
func (c checks) any(names ...string) bool { return slices.ContainsFunc(names, c.matches) }

// check runs a check, and prints how long a container has taken to be ready for it.
func (c checks) check(t *testing.T, name string, f func(*testing.T), took ...time.Duration) {
	if !c.matches(name) {
		return
	}
	word, figures := "ok", ""
	if !t.Run(name, f) {
		word = "FAIL"
	}
	for _, d := range took {
		figures += fmt.Sprintf(", ready in %d ms", d.Milliseconds())
	}
	fmt.Printf("%s %s: %s%s\n", word, c.prefix, name, figures)
}

// neighbour runs a shell command in another container of the network, and returns what it has printed.
func neighbour(t *testing.T, net *testcontainers.DockerNetwork, command string) string {
	t.Helper()
	container, err := testcontainers.Run(t.Context(), image(),
		network.WithNetwork(nil, net),
		testcontainers.WithCmd("sh", "-c", command),
		testcontainers.WithWaitStrategy(wait.ForExit().WithExitTimeout(30*time.Second)))
	testcontainers.CleanupContainer(t, container)
	if err != nil {
		t.Fatalf("the other container: %v", err)
	}
	return logs(t, container)
}

func logs(t *testing.T, container testcontainers.Container) string {
	t.Helper()
	reader, err := container.Logs(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expectLines expects these lines, one after the other, in an output.
func expectLines(t *testing.T, output string, lines ...string) {
	t.Helper()
	if !strings.Contains(output, strings.Join(lines, "\n")+"\n") {
		t.Errorf("the other container printed %q", output)
	}
}
