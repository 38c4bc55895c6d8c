package broker_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// A snapshot is kept as one file, and restored in another cluster.
func TestSnapshotAsAnArchive(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.Client.End(p, true)
	l.expect("PUT", "/v1/snapshots/one", "", 200)
	status, archive := l.ask("GET", "/v1/snapshots/one/archive", "")
	if status != 200 {
		t.Fatalf("%d %s", status, archive)
	}
	l.expect("GET", "/v1/snapshots/none/archive", "", 404)

	other := startLab(t, brokertest.WithSettings(t, map[string]string{"lab.archive.max.bytes": "1000000"}))
	other.expect("PUT", "/v1/snapshots/theirs/archive", archive, 200, `"name": "theirs"`)
	other.expect("POST", "/v1/snapshots/theirs/restore", "", 200)
	other.values(0, "a")
	other.expect("POST", "/v1/check", "", 200, `"damage": 0`)
	other.expect("GET", "/v1/snapshots", "", 200, `"name": "theirs"`)

	other.expect("PUT", "/v1/snapshots/x/archive", "nonsense", 400, "not an archive")
	other.expect("PUT", "/v1/snapshots/x/archive", archive[:len(archive)/2], 400, "not an archive")
	other.expect("PUT", "/v1/snapshots/x/archive", strings.Repeat(archive, 1+1_000_000/len(archive)), 413,
		"lab.archive.max.bytes")
	const info = `{"Name": "x", "Taken": "2030-01-01T00:00:00Z"}`
	for name, want := range map[string]string{
		"../evil": "one directory deep", "/evil": "one directory deep", "a/../../evil": "one directory deep",
		"a/b/c": "one directory deep",
		`a\b`:   "one directory deep", "meta.db": "cannot be opened here", "meta.json": "not the records of a metadata store",
	} {
		other.expect("PUT", "/v1/snapshots/x/archive", packed(t, "snapshot.json", info, name, "evil"), 400, want)
	}
	other.expect("PUT", "/v1/snapshots/x/archive", packed(t, "meta.db", "first"), 400, "begins with")
	other.expect("PUT", "/v1/snapshots/x/archive", packed(t, "snapshot.json", info, "a", strings.Repeat("0", 2_000_000)),
		400, "more than 1000000 bytes")
	other.expect("PUT", "/v1/snapshots/.x/archive", archive, 400)
	other.expect("GET", "/v1/snapshots/x/archive", "", 404)
	other.values(0, "a")
}

// packed is an archive of files, given as pairs of name and content.
func packed(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	z.Close()
	return b.String()
}
