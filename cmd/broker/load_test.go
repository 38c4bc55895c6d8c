package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"once/internal/kafkatest"
)

// overLab sends a request to the lab of a broker, and returns the body of the answer, which must be of status 200.
func overLab(t *testing.T, p *process, method, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.admin+path, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, body)
	}
	return string(body)
}

var clusterID = regexp.MustCompile(`"clusterId": "[^"]+"`)

// A broker begins with an archive: it has its records and its cluster ID, and the transaction that was open is aborted.
// The directory must be empty and the file an archive, else the exit code is 2 and nothing is changed.
func TestLoadBeginsWithAnArchive(t *testing.T) {
	dir := t.TempDir()
	arguments := []string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	p := launch(t, dir, nil, arguments...)
	c := dial(t, p.listen)
	create(t, c, "kept", "left", "right")
	must(t, transaction(c, begin(t, c, "done"), 1, true))
	must(t, produce(c, "kept", "plain"))
	open := begin(t, c, "open")
	_, err := c.Produce(open, "kept", 0, kafkatest.Values("never")...)
	must(t, err)
	overLab(t, p, "PUT", "/v1/snapshots/one")
	must(t, os.WriteFile(filepath.Join(dir, "one.tar.zst"), []byte(overLab(t, p, "GET", "/v1/snapshots/one/archive")),
		0o600))
	of := clusterID.FindString(overLab(t, p, "GET", "/v1/clusters"))
	p.stop(t, os.Interrupt)

	other := launch(t, dir, nil, append(arguments, "--data-dir", "other", "--load", "one.tar.zst")...)
	if got := clusterID.FindString(overLab(t, other, "GET", "/v1/clusters")); got != of || of == "" {
		t.Errorf("the cluster is %s, the archive's is %s", got, of)
	}
	records := overLab(t, other, "GET", "/v1/records/kept/0")
	if !strings.Contains(records, `"plain"`) || !strings.Contains(records, `"aborted"`) ||
		strings.Contains(records, `"open"`) {
		t.Errorf("not the records of the archive, or not aborted: %s", records)
	}
	other.stop(t, os.Interrupt)
	again := launch(t, dir, nil, append(arguments, "--data-dir", "other")...) // what was loaded stays
	if got := clusterID.FindString(overLab(t, again, "GET", "/v1/clusters")); got != of {
		t.Errorf("after a restart the cluster is %s, the archive's is %s", got, of)
	}
	again.stop(t, os.Interrupt)

	must(t, os.WriteFile(filepath.Join(dir, "nonsense"), []byte("nonsense"), 0o600))
	for _, refused := range []struct{ dataDir, load, want string }{
		{"other", "one.tar.zst", "the data directory is not empty"},
		{"third", "nonsense", "not an archive of a snapshot"},
		{"third", "none", "no such file"},
	} {
		c := exec.Command(program, append(arguments, "--data-dir", refused.dataDir, "--load", refused.load)...)
		c.Dir, c.Env = dir, []string{asProgram}
		output, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(output), refused.want) {
			t.Errorf("--load %s: exit code %d\n%s", refused.load, c.ProcessState.ExitCode(), output)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "third")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
