//go:build fault

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type armed struct {
	action, argument string
	at               int // the hit that triggers; 0 means every one
	hits             int
}

var sites struct {
	sync.Mutex
	armed map[string]*armed
}

func init() {
	if err := Arm(os.Getenv("ONCE_FAULTS")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// Arm replaces what is armed by the sites of spec, in the form of ONCE_FAULTS.
func Arm(spec string) error {
	known := make(map[string]bool, len(Sites))
	for _, s := range Sites {
		known[s] = true
	}
	table := map[string]*armed{}
	for _, item := range strings.Split(spec, ",") {
		if item == "" {
			continue
		}
		site, action, ok := strings.Cut(item, "=")
		if !ok || !known[site] {
			return fmt.Errorf("ONCE_FAULTS: %q is no site=action with a known site", item)
		}
		a := &armed{}
		action, at, counted := strings.Cut(action, "@")
		if counted {
			n, err := strconv.Atoi(at)
			if err != nil || n < 1 {
				return fmt.Errorf("ONCE_FAULTS: %q counts no hit", item)
			}
			a.at = n
		}
		a.action, a.argument, _ = strings.Cut(action, ":")
		table[site] = a
	}
	sites.Lock()
	sites.armed = table
	sites.Unlock()
	return nil
}

// Hit is a place where a test may intervene; see the package comment.
func Hit(site string) error {
	sites.Lock()
	a := sites.armed[site]
	if a == nil {
		sites.Unlock()
		return nil
	}
	a.hits++
	due := a.at == 0 || a.at == a.hits
	sites.Unlock()
	if !due {
		return nil
	}
	switch a.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "error":
		return ErrInjected
	case "sleep":
		if d, err := time.ParseDuration(a.argument); err == nil {
			time.Sleep(d)
		}
	case "hold":
		for {
			if _, err := os.Stat(a.argument); err != nil {
				return nil
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}
