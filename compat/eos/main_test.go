package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"once/compat/eos/driver"
	"once/compat/eos/verify"
)

// The test program plays the agents, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "agent" {
		os.Exit(run(context.Background(), os.Args[1:]))
	}
	code := m.Run()
	if brokerDir != "" {
		_ = os.RemoveAll(brokerDir)
	}
	os.Exit(code)
}

var brokerDir string // of the binary

// buildBroker builds this project's broker, once.
var buildBroker = sync.OnceValues(func() (binary string, err error) {
	if brokerDir, err = os.MkdirTemp("", "eos-broker-"); err != nil {
		return "", err
	}
	binary = filepath.Join(brokerDir, "broker")
	build := exec.Command("go", "build", "-o", binary, "./cmd/broker")
	build.Dir = filepath.Join("..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the broker: %w\n%s", err, text)
	}
	return binary, nil
})

// conduct runs the checker against this project's broker and returns its verdicts, by name.
func conduct(t *testing.T, flags ...string) map[string]*verify.Result {
	t.Helper()
	binary, err := buildBroker()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	o, err := parse(append([]string{"-broker-binary", binary, "-dir", dir, "-records", "3000", "-copiers", "2", "-kills",
		"0",
		"-seed", "11"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o.Out = &out
	if err := driver.Run(t.Context(), *o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	in, err := driver.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]*verify.Result{}
	for _, r := range verify.Run(in) {
		results[r.Name] = &r
	}
	if t.Logf("%s", out.String()); in.Final.Verdicts == nil {
		t.Fatal("the broker gave no verdict")
	}
	ok := !slices.ContainsFunc(verdicts(in), func(ok bool) bool { return !ok })
	if exactly := results["C7"].Passed() && results["C8"].Passed(); ok != exactly {
		t.Errorf("the broker's verdict is %v; C7 and C8 hold: %v %q", ok, exactly, results["C7"].Examples)
	}
	if r := results["C23"]; !r.Passed() {
		t.Errorf("the broker's verdict is not ours: %q", r.Examples)
	}
	return results
}

func verdicts(in *verify.Input) (all []bool) {
	for _, v := range in.Final.Verdicts {
		all = append(all, v.OK)
	}
	return all
}

// The broker notices nothing about correct copiers, also when they are killed, and when it is killed itself; and both
// judge them to be right. The broker's lab wants a token.
func TestCorrectCopiersAreJudgedRight(t *testing.T) {
	for name, r := range conduct(t, "-correct", "-kills", "1", "-kill-every", "0s", "-admin-token", "sesame") {
		if !r.Passed() && name != "C21" { // one kill is not enough to show compaction
			t.Errorf("%s: %s: %q", name, r.Title, r.Examples)
		}
	}
}

// Copiers that lose or double an output are judged wrong, by the broker and by the checker alike; that offsets are
// committed outside of the transaction is noticed even if nothing was lost by it.
func TestMutantsAreJudgedWrong(t *testing.T) {
	for mutant, broken := range map[string]string{"skip": "C7", "twice": "C7", "outside": "C22"} {
		t.Run(mutant, func(t *testing.T) {
			if conduct(t, "-correct", "-mutant", mutant)[broken].Passed() {
				t.Errorf("%s holds", broken)
			}
		})
	}
}
