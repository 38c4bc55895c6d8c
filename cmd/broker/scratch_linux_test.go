package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"once/internal/crashtest"
)

// The image is FROM scratch: the program must need no interpreter, no libraries, no files and no rights.
func TestImageNeedsNoFilesAndNoRights(t *testing.T) {
	crashtest.Apart(t, "builds the program, and changes the root directory")
	root := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(root, "broker"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Dockerfile builds it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	file, err := elf.Open(filepath.Join(root, "broker"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program is linked dynamically")
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("libraries %q, %v", libraries, err)
	}
	if os.Getuid() != 0 {
		return // only root may become somebody else in a directory of its own
	}
	user, environ := imageRunsAs(t)
	for _, dir := range []string{"data", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(root, dir), int(user), int(user)); err != nil {
			t.Fatal(err)
		}
	}
	p := launch(t, root, func(c *exec.Cmd) {
		c.Path, c.Dir, c.Env = "/broker", "/", environ
		c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	}, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d; stderr\n%s", code, p.stderr)
	}
	if files, err := os.ReadDir(filepath.Join(root, "data")); err != nil || len(files) == 0 {
		t.Errorf("the data directory holds %v, %v", files, err)
	}
}

// imageRunsAs reads the user and the environment that the Dockerfile gives the program.
func imageRunsAs(t *testing.T) (user uint32, environ []string) {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "USER":
			id, _, _ := strings.Cut(rest, ":")
			n, err := strconv.ParseUint(id, 10, 32)
			if err != nil || n == 0 {
				t.Errorf("USER %s is not an unprivileged number", rest)
			}
			user = uint32(n)
		case "ENV":
			environ = append(environ, strings.Fields(rest)...)
		}
	}
	if user == 0 || len(environ) == 0 {
		t.Errorf("the Dockerfile gives user %d and environment %q", user, environ)
	}
	return user, environ
}
