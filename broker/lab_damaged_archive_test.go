package broker_test

import (
	"archive/tar"
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// archiveOf is the archive of a snapshot with records, an open transaction and offsets.
func archiveOf(l overHTTP) string {
	l.Append(one(0, "kept"))
	done, _ := l.InitProducer("done")
	l.Produce(done, "t", 0, kafkatest.Values("committed")...)
	l.Stage(done, "g", "t", 0, 1)
	l.Client.End(done, true)
	open, _ := l.InitProducer("open")
	l.Produce(open, "t", 1, kafkatest.Values("open")...)
	l.expect("PUT", "/v1/snapshots/one", "", 200)
	status, archive := l.ask("GET", "/v1/snapshots/one/archive", "")
	if status != 200 {
		l.t.Fatal(status, archive)
	}
	return archive
}

// entries are the files in an archive.
func entries(t *testing.T, archive string) (all []string) {
	t.Helper()
	z, err := zstd.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		content, readErr := io.ReadAll(r)
		if err != nil || readErr != nil {
			t.Fatal(err, readErr)
		}
		all = append(all, h.Name, string(content))
	}
}

// An archive that was cut off in any of its blocks, in which a bit was flipped, or that lacks a file is refused, or is
// what it was: nothing else is ever restored. The cluster goes on.
func TestDamagedArchiveIsRefused(t *testing.T) {
	l := startLab(t)
	archive := archiveOf(l)
	files := entries(t, archive)
	plain := packed(t, files...)
	z, err := zstd.NewReader(strings.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	unpacked, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	l.expect("POST", "/v1/reset", "", 200)
	refused := 0
	put := func(what string, archive string) {
		t.Helper()
		status, text := l.ask("PUT", "/v1/snapshots/x/archive", archive)
		switch {
		case status == 400:
			refused++
		case status == 200:
			l.restored(what)
		default:
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
	zipped := func(tape []byte) string {
		var b bytes.Buffer
		z, _ := zstd.NewWriter(&b)
		_, _ = z.Write(tape)
		z.Close()
		return b.String()
	}
	for at := 0; at < len(unpacked)-1024; at += 512 {
		put("cut at a block", zipped(unpacked[:at]))
		put("cut in a block", zipped(unpacked[:at+100]))
	}
	for at := 0; at < len(archive); at += max(1, len(archive)/200) {
		put("cut", archive[:at])
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		damaged := bytes.Clone([]byte(archive))
		damaged[dice.IntN(len(damaged))] ^= 1 << dice.IntN(8)
		put("a bit of the archive", string(damaged))
	}
	for range 300 {
		damaged := bytes.Clone(unpacked)
		damaged[dice.IntN(len(damaged))] ^= 1 << dice.IntN(8)
		put("a bit of a file", zipped(damaged))
	}
	for i := 0; i < len(files); i += 2 {
		put("without "+files[i], packed(t, append(append([]string{}, files[:i]...), files[i+2:]...)...))
	}
	if refused < 300 {
		t.Errorf("%d are refused", refused)
	}
	t.Logf("%d are refused", refused)
	l.expect("POST", "/v1/reset", "", 200)
	l.CreateTopic("t", 2, nil)
	l.Append(one(0, "goes on"))
	l.expect("PUT", "/v1/snapshots/x/archive", archive, 200)
	l.restored("the whole archive")
}

// restored restores the snapshot x and expects what archiveOf has made.
func (l overHTTP) restored(what string) {
	l.t.Helper()
	if status, text := l.ask("POST", "/v1/snapshots/x/restore", ""); status != 200 {
		l.t.Errorf("%s: %d %s", what, status, text)
		return
	}
	client := kafkatest.Connect(l.t, l.Addr())
	values, _, err := client.Quiet().Consume("t", 0, 0, true)
	if got := strings.Join(values, " "); got != "kept committed" || err != nil {
		l.t.Errorf("%s: restored as %q, %v", what, got, err)
	}
	if offset, _ := client.Committed("g", "t", 0); offset != 1 {
		l.t.Errorf("%s: offset %d", what, offset)
	}
	l.expect("POST", "/v1/check", "", 200, `"damage": 0`)
}

// An archive of a later version of the broker is refused with what is wrong, and so is one that says more of itself
// than is known.
func TestArchiveOfALaterVersion(t *testing.T) {
	l := startLab(t)
	files := entries(t, archiveOf(l))
	const first = 1 // the content of snapshot.json
	l.expect("PUT", "/v1/snapshots/x/archive", packed(t, files...), 200)
	later := append([]string{}, files...)
	later[first] = strings.Replace(files[first], `"Format":2`, `"Format":3`, 1)
	l.expect("PUT", "/v1/snapshots/x/archive", packed(t, later...), 400, "format 3")
	later[first] = strings.Replace(files[first], `{`, `{"Encrypted": true, `, 1)
	l.expect("PUT", "/v1/snapshots/x/archive", packed(t, later...), 400, "Encrypted")
	later[first] = files[first] + strings.Repeat(" ", 100_000)
	l.expect("PUT", "/v1/snapshots/x/archive", packed(t, later...), 400, "snapshot.json has")
	later[first] = files[first]
	l.expect("PUT", "/v1/snapshots/x/archive", packed(t, append(later, later[2:]...)...), 400, "twice")
}

// An archive passes between clusters in memory and on disk: it is restored, a broker begins with it, and the other
// cluster writes the same bytes.
func TestArchivePassesBetweenKindsOfClusters(t *testing.T) {
	kinds := labOn(t)
	for from, to := range map[string]string{"memory": "disk", "disk": "memory", "ephemeral": "memory"} {
		t.Run(from+" to "+to, func(t *testing.T) {
			l, other := startLab(t, kinds[from]), startLab(t, labOn(t)[to])
			archive := archiveOf(l)
			other.expect("PUT", "/v1/snapshots/x/archive", archive, 200)
			_, again := other.ask("GET", "/v1/snapshots/x/archive", "")
			const content = 2 // behind snapshot.json, which has the name
			if want, got := entries(t, archive), entries(t, again); !slices.Equal(got[content:], want[content:]) {
				t.Errorf("the other cluster writes\n%q, this one\n%q", got, want)
			}
			other.restored(to)

			file := filepath.Join(t.TempDir(), "archive")
			if err := os.WriteFile(file, []byte(archive), 0o600); err != nil {
				t.Fatal(err)
			}
			loaded := brokertest.Start(t, labOn(t)[to], brokertest.WithArchive(file))
			values, _, err := kafkatest.Connect(t, loaded.Addr()).Consume("t", 0, 0, true)
			if !slices.Equal(values, []string{"kept", "committed"}) || err != nil {
				t.Errorf("loaded %q, %v", values, err)
			}
		})
	}
}

// Archives of format 1 have the metadata as their cluster kept it. A file of bbolt's can be opened on disk only, which
// a cluster in memory says.
func TestArchiveOfAnEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	memory, disk := startLab(t, labOn(t)["memory"]),
		startLab(t, brokertest.WithDataDir(dir), func(c *broker.Config) { c.InMemory = false })
	files := entries(t, archiveOf(disk))
	old := func(meta string) string {
		files := slices.Clone(files)
		files[1] = strings.Replace(files[1], `"Format":2`, `"Format":1`, 1)
		at := slices.Index(files, "meta.json")
		files[at], files[at+1] = "meta.db", meta
		return packed(t, files...)
	}
	bolt, err := filepath.Glob(filepath.Join(dir, ".snapshots", ".one.*", "meta.db"))
	if err != nil || len(bolt) != 1 {
		t.Fatal(bolt, err)
	}
	content, err := os.ReadFile(bolt[0])
	if err != nil {
		t.Fatal(err)
	}
	ofDisk, ofMemory := old(string(content)), old(files[slices.Index(files, "meta.json")+1])
	memory.expect("PUT", "/v1/snapshots/x/archive", ofDisk, 400,
		"of format 1 or before, of a cluster on disk, can be loaded on disk only")
	memory.expect("POST", "/v1/snapshots/x/restore", "", 404)
	memory.expect("PUT", "/v1/snapshots/x/archive", ofMemory, 200)
	memory.restored("memory in memory")
	for what, archive := range map[string]string{"memory on disk": ofMemory, "disk on disk": ofDisk} {
		disk.expect("PUT", "/v1/snapshots/x/archive", archive, 200)
		disk.restored(what)
	}
	both := packed(t, append(slices.Clone(files), "meta.db", string(content))...)
	disk.expect("PUT", "/v1/snapshots/x/archive", both, 400, "has both")
}
