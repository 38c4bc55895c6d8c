package broker_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"once/inspect/inspecttest"
	"once/internal/crashtest"
	"once/internal/invariant"
	"once/log/batch"
)

// moment is one in a pass of the cleaner, as the files of the partition show it.
type moment struct {
	name      string
	file      string // a part of the name of a file that there is
	sizeBytes int64  // that it has at least
}

// moments are what a broker gets killed at: while it writes, further than the cleaner's buffer, and when the new
// segment counts but the old ones are still there.
var moments = []moment{
	{"a segment is begun", ".log.cleaned", 0},
	{"a segment is several buffers long", ".log.cleaned", severalBuffers},
	{"a segment counts", ".log.swap-", severalBuffers},
}

func (m *moment) hasCome(files []os.DirEntry) bool {
	return slices.ContainsFunc(files, func(e os.DirEntry) bool {
		if !strings.Contains(e.Name(), m.file) {
			return false
		}
		info, err := e.Info()
		return err == nil && info.Size() >= m.sizeBytes
	})
}

// hunt kills each broker of a story at a moment of a pass. Only a kill after which there are files of the cleaner
// counts.
type hunt struct {
	*story
	times  int // each moment
	hits   map[string]int
	aimed  string // the moment that the running broker is killed at; "" if at none
	missed int
	busy   sync.WaitGroup
}

// launch starts a broker, after a look at what the last one left, and lies in wait for it.
func (h *hunt) launch(faults string) *process {
	h.t.Helper()
	files, err := os.ReadDir(h.partitionDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	if h.aimed != "" {
		if slices.ContainsFunc(files, func(e os.DirEntry) bool { return isCleanerFile(e.Name()) }) {
			h.hits[h.aimed]++
		} else {
			h.missed++
		}
		inspecttest.RequireClean(h.t, h.dir)
	}
	p := launch(h.t, h.dir, faults, h.args...)
	h.aimed = ""
	for _, m := range moments {
		if h.hits[m.name] < h.times {
			h.aimed = m.name
			h.busy.Go(func() { lieInWait(p, h.partitionDir(), m) })
			break
		}
	}
	return p
}

// lieInWait kills a process when the moment has come; it gives up when the process ends before.
func lieInWait(p *process, dir string, m moment) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		if files, err := os.ReadDir(dir); err == nil && m.hasCome(files) {
			p.Kill()
			return
		}
		select {
		case <-tick.C:
		case <-p.Exited:
			return
		}
	}
}

// run goes on with the story until brokers have been killed often enough.
func (h *hunt) run() {
	h.dice = rand.New(rand.NewPCG(h.seed, 2))
	// A slow disk, so that there is time between what a pass does before a barrier and what it does after it.
	h.plan = slices.Repeat([]string{"disk.sync=delay:20ms"}, 10*h.times*len(moments))
	h.killClient.launch = h.launch
	h.start()
	h.client.arrive(true)
	for h.aimed != "" {
		died, aimed := h.died, h.aimed
		if h.goOn(); h.died > died {
			h.check("killed when " + aimed)
		}
		if h.t.Failed() || len(h.plan) == 0 {
			h.t.Fatalf("killed while there were files of the cleaner: %v; missed %d times", h.hits, h.missed)
		}
	}
	h.t.Logf("killed while there were files of the cleaner: %v; missed %d times", h.hits, h.missed)
	h.check("in the end")
	h.hangUp()
	if code := h.p.Stop(syscall.SIGTERM); code != 0 {
		h.t.Errorf("the clean stop: exit %d\n%s", code, h.p.Log.String())
	}
	inspecttest.RequireClean(h.t, h.dir)
	h.start()
	h.check("in the end, restarted")
	h.hangUp()
	h.p.Kill()
	h.busy.Wait()
}

// A broker is killed with SIGKILL in the middle of compacting what is several times the cleaner's buffer, again and
// again, and so is the one that comes after. What clients were told is there each time.
func TestCompactedSurvivesSIGKILL(t *testing.T) {
	crashtest.Apart(t, "kills a process until it is hit in the middle of a pass")
	program(t)
	seeds, times := uint64(1), 2
	if n := crashtest.Seeds(t); n > 0 {
		seeds, times = uint64(n), 20
	} else if invariant.Enabled {
		times = 1
	}
	for name, client := range map[string]func(*killClient) storyClient{
		"__consumer_offsets": func(c *killClient) storyClient { return newOffsetsClient(c) },
		keysTopic:            func(c *killClient) storyClient { return newKeysClient(c, batch.LZ4) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds {
				s := storyOf(t, seed, "offsets.topic.segment.bytes=8388608")
				s.topic, s.client = name, client(s.killClient)
				h := &hunt{story: s, times: times, hits: map[string]int{}}
				h.run()
			}
		})
	}
}
