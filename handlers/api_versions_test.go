package handlers

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

// kafkaVersions is what ApiVersions v4 of Apache Kafka 4.4.0 lists: one API or feature a line. To record it anew from a
// running broker, a new one with one node:
//
//	ONCE_SCRIPT_BROKER=HOST:PORT go test ./handlers -run TestApiVersionsAreKafkas -rewrite
const kafkaVersions = "testdata/api-versions-4.4.0.txt"

// TestApiVersionsAreKafkas compares the answer to ApiVersions, key by key. What is not served, or is served in other
// versions, is named with its key in the section of docs/gaps.md about APIs, and no other API is.
func TestApiVersionsAreKafkas(t *testing.T) {
	if addr := os.Getenv("ONCE_SCRIPT_BROKER"); addr != "" && flag.Lookup("rewrite").Value.String() == "true" {
		recordVersions(t, addr)
	}
	text, err := os.ReadFile(kafkaVersions)
	if err != nil {
		t.Fatal(err)
	}
	s := tableServices(t)
	s.Features = NewFeatures(nil, 1, nil)
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ApiKeys = wire.Advertise(s.listed())
	s.Features.describe(4, resp)
	ours, theirs := versionLines(resp), strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range ours {
		if key, ok := keyOfLine(line); ok && !slices.ContainsFunc(theirs, func(l string) bool { return hasKey(l, key) }) {
			t.Errorf("Kafka has no %s", line)
		}
	}
	gaps := keysOfGaps(t)
	for _, line := range theirs {
		key, isKey := keyOfLine(line)
		differs := !slices.Contains(ours, line)
		switch name, _, _ := strings.Cut(line, " "); {
		case isKey && differs && !gaps[key]:
			t.Errorf("Kafka has %s, which docs/gaps.md does not have", line)
		case isKey && !differs && gaps[key]:
			t.Errorf("docs/gaps.md has %s, which is as in Kafka", line)
		case !isKey && differs && !strings.Contains(gapsOfAPIs(t), "`"+name+"`"):
			t.Errorf("Kafka has %s, and docs/gaps.md does not name it", line)
		}
	}
}

func recordVersions(t *testing.T, addr string) {
	t.Helper()
	c, err := kafkatest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 4, "once", "1"
	resp, err := c.Request(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := versionLines(resp.(*kmsg.ApiVersionsResponse))
	if err := os.WriteFile(kafkaVersions, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What is served can be decoded: kmsg knows the highest version of each API.
func TestVersionsAreKnownToKmsg(t *testing.T) {
	for _, a := range APIs() {
		if max := kmsg.RequestForKey(a.Key).MaxVersion(); a.Max > max {
			t.Errorf("%s is served up to version %d, kmsg knows %d", kmsg.NameForKey(a.Key), a.Max, max)
		}
	}
}

// versionLines are lines "key API min-max", then "feature min-max finalized".
func versionLines(resp *kmsg.ApiVersionsResponse) []string {
	slices.SortFunc(resp.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) })
	var lines []string
	for _, k := range resp.ApiKeys {
		lines = append(lines, fmt.Sprintf("%d %s %d-%d", k.ApiKey, kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion))
	}
	var features []string
	for _, f := range resp.SupportedFeatures {
		level := int16(0)
		for _, g := range resp.FinalizedFeatures {
			if g.Name == f.Name {
				level = g.MaxVersionLevel
			}
		}
		features = append(features, fmt.Sprintf("%s %d-%d %d", f.Name, f.MinVersion, f.MaxVersion, level))
	}
	slices.Sort(features)
	return append(lines, features...)
}

func keyOfLine(line string) (int, bool) {
	text, _, _ := strings.Cut(line, " ")
	key, err := strconv.Atoi(text)
	return key, err == nil
}

func hasKey(line string, key int) bool {
	k, ok := keyOfLine(line)
	return ok && k == key
}

// gapsOfAPIs is the section of docs/gaps.md about APIs.
func gapsOfAPIs(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/gaps.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## APIs that are not served yet\n")
	if !found {
		t.Fatal("docs/gaps.md has no section on APIs")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// keysOfGaps are the keys in brackets in the first column of the section's table: (68, 69), (83-92).
func keysOfGaps(t *testing.T) map[int]bool {
	t.Helper()
	keys := map[int]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \|`).FindAllStringSubmatch(gapsOfAPIs(t), -1) {
		for _, list := range regexp.MustCompile(`\(([0-9][0-9, -]*)\)`).FindAllStringSubmatch(row[1], -1) {
			for _, part := range strings.Split(list[1], ", ") {
				from, to, isRange := strings.Cut(part, "-")
				low, _ := strconv.Atoi(from)
				high := low
				if isRange {
					high, _ = strconv.Atoi(to)
				}
				for k := low; k <= high; k++ {
					keys[k] = true
				}
			}
		}
	}
	return keys
}
