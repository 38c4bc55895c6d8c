package driver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"once/compat/eos/agent"
)

// slot is one client of the run: its processes come and go, its identity stays.
type slot struct {
	options agent.Options // of the latest incarnation
	stdin   io.WriteCloser
	cmd     *exec.Cmd
	live    bool
}

// message is what an agent said, or that it is gone.
type message struct {
	slot   *slot
	report agent.Report
	gone   bool
	code   int
}

// crew starts the agents' processes and collects what they say. Its goroutines end with the processes.
type crew struct {
	self     string // path of this program
	dir      string
	next     uint32 // incarnation
	slots    []*slot
	messages chan message
	readers  sync.WaitGroup
}

func newCrew(dir string) (*crew, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &crew{self: self, dir: dir, messages: make(chan message, 1024)}, nil
}

// add starts the first incarnation of a client.
func (c *crew) add(o agent.Options) (*slot, error) {
	s := &slot{options: o}
	c.slots = append(c.slots, s)
	return s, c.spawn(s)
}

// spawn starts the next incarnation of s.
func (c *crew) spawn(s *slot) error {
	s.options.Incarnation = c.next
	c.next++
	arg, err := json.Marshal(s.options)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%d.stderr", s.options.Role, s.options.Incarnation)
	stderr, err := os.Create(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	defer stderr.Close() // the child has its own
	cmd := exec.Command(c.self, "agent", string(arg))
	cmd.Stderr = stderr
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.live = cmd, true
	c.readers.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var r agent.Report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				c.messages <- message{slot: s, report: r}
			}
		}
		_ = cmd.Wait() // the exit code is what matters
		c.messages <- message{slot: s, gone: true, code: cmd.ProcessState.ExitCode()}
	})
	return nil
}

func (s *slot) order(o agent.Order) {
	if !s.live {
		return
	}
	line, _ := json.Marshal(o)               // plain numbers and booleans
	_, _ = s.stdin.Write(append(line, '\n')) // a process that is gone says so on its own
}

// dismiss asks all agents to stop and waits for them; who does not go within limit is killed. It must be
// called by the goroutine that reads messages.
func (c *crew) dismiss(limit time.Duration, handle func(message)) {
	live := 0
	for _, s := range c.slots {
		if s.live {
			live++
			s.order(agent.Order{Stop: true})
			_ = s.stdin.Close()
		}
	}
	deadline := time.After(limit)
	for live > 0 {
		select {
		case m := <-c.messages:
			handle(m)
			if m.gone {
				live--
			}
		case <-deadline:
			for _, s := range c.slots {
				if s.live {
					_ = s.cmd.Process.Kill()
				}
			}
		}
	}
	c.readers.Wait()
}
