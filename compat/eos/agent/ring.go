package agent

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const ringLines = 3000

// ring is a client logger that keeps its last lines in memory, for the case that the client gets stuck.
// Safe for concurrent use.
type ring struct {
	mu    sync.Mutex
	lines [ringLines]string
	next  int
}

// Level implements kgo.Logger.
func (*ring) Level() kgo.LogLevel { return kgo.LogLevelDebug }

// Log implements kgo.Logger.
func (r *ring) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	line := fmt.Sprint(time.Now().Format("15:04:05.000 "), level, " ", msg, " ", keyvals)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[r.next%ringLines] = line
	r.next++
}

// dump writes the lines in order.
func (r *ring) dump(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := max(0, r.next-ringLines); i < r.next; i++ {
		fmt.Fprintln(w, r.lines[i%ringLines])
	}
}
