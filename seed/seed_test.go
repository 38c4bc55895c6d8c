package seed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"once/log/batch"
	"once/settings"
)

const inYAML = `
- name: orders
  partitions: 3
  configs: {retention.ms: 1000, cleanup.policy: "compact,delete"}
  records:
    - key: a
      value: {base64: AAEC}
      headers: {trace: x, none: null}
      timestamp: 1700000000000
    - {partition: 2, key: 42, value: ~}
    - key: "é"
      headers: [{name: h, value: "1"}, {name: h, value: "2"}]
- name: empty
`

const inJSON = `[
 {"name": "orders", "partitions": 3, "configs": {"retention.ms": 1000, "cleanup.policy": "compact,delete"},
  "records": [
   {"key": "a", "value": {"base64": "AAEC"}, "headers": {"trace": "x", "none": null}, "timestamp": 1700000000000},
   {"partition": 2, "key": 42, "value": null},
   {"key": "\u00e9", "headers": [{"name": "h", "value": "1"}, {"name": "h", "value": "2"}]}]},
 {"name": "empty"}]`

// show prints topics as one line each, and their records.
func show(all []Topic) string {
	var out strings.Builder
	value := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	for _, t := range all {
		fmt.Fprintln(&out, t.Name, t.Partitions, t.ReplicationFactor, t.Configs)
		for _, r := range t.Records {
			fmt.Fprint(&out, "  ", r.Partition, " ", r.TimestampMs, " ", value(r.Key), "=", value(r.Value))
			for _, h := range r.Headers {
				fmt.Fprint(&out, " ", h.Name, ":", value(h.Value))
			}
			fmt.Fprintln(&out)
		}
	}
	return out.String()
}

func TestJSONAndYAMLSayTheSame(t *testing.T) {
	const want = `orders 3 0 map[cleanup.policy:compact,delete retention.ms:1000]
  -1 1700000000000 "a"="\x00\x01\x02" trace:"x" none:null
  2 -1 "42"=null
  -1 -1 "é"=null h:"1" h:"2"
empty 0 0 map[]
`
	flow := "[{name: orders, partitions: 3, configs: {}}]"
	for _, text := range []string{inYAML, inJSON} {
		all, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := show(all); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if all, err := Parse([]byte(flow)); err != nil || len(all) != 1 {
		t.Errorf("YAML in brackets: %v, %v", all, err)
	}
	if _, err := ParseJSON([]byte(flow)); err == nil {
		t.Error("YAML is taken for JSON")
	}
	if all, err := ParseJSON([]byte(inJSON)); err != nil || show(all) != want {
		t.Errorf("JSON alone: %v, %v", all, err)
	}
}

func TestMistakesNameLineAndField(t *testing.T) {
	deep := strings.Repeat("[", 10_000)
	for text, want := range map[string]string{
		"":                             "line 1: is empty",
		"{}":                           "line 1: must be a list, not an object",
		"orders":                       "line 1: must be a list, not text",
		"[]\n---\n[]":                  "line 2: has something behind its end",
		"- name: x\n  nmae: y":         "line 2: [0].nmae: is not known here",
		"- name: x\n- partitions: 2":   "line 2: [1].name: is missing",
		"- name: x\n- name: x":         `line 2: [1].name: the topic "x" stands twice`,
		"- name: x\n  name: y":         "line 2: [0].name: stands twice",
		"- name: a b":                  "line 1: [0].name: invalid topic name",
		"- name: __consumer_offsets":   "line 1: [0].name: __consumer_offsets is the broker's own",
		"- name: [x]":                  "line 1: [0].name: must be text, not a list",
		"- name: x\n  partitions: 0":   "line 2: [0].partitions: must be a whole number from 1 to 10000",
		"- name: x\n  partitions: 1.5": "line 2: [0].partitions: must be a whole number",
		"- name: x\n  partitions: '2'": "line 2: [0].partitions: must be a whole number",
		"- name: x\n  configs:\n    retention: 1":                                 "line 3: [0].configs.retention: topics do not have this setting",
		"- name: x\n  configs:\n    segment.ms: x":                                "line 3: [0].configs.segment.ms: segment.ms=x: must be a whole number",
		"- name: x\n  configs: 1":                                                 "line 2: [0].configs: must be an object, not a number",
		"- name: x\n  partitions: 2\n  records:\n  - {partition: 2}":              "line 4: [0].records[0].partition: is 2, and the topic has 2 partitions",
		"- name: x\n  records:\n  - value:\n      {a: 1}":                         "[0].records[0].value: must be text, null or",
		"- name: x\n  records:\n  - value: {base64: '*'}":                         "line 3: [0].records[0].value.base64: must be text in base64",
		"- name: x\n  records:\n  - key: [1]":                                     "line 3: [0].records[0].key: must be text, null or",
		"- name: x\n  records:\n  - timestamp: -1":                                "line 3: [0].records[0].timestamp: must be a whole number from 0",
		"- name: x\n  records:\n  - offset: 1":                                    "line 3: [0].records[0].offset: is not known here",
		"- name: x\n  records:\n  - headers: [{value: a}]":                        "line 3: [0].records[0].headers[0].name: is missing",
		"- name: &a x\n  records:\n  - key: *a":                                   "line 3: must be written out: aliases are not followed",
		"- name: !!binary eA==":                                                   "line 1: the tag !!binary is not understood",
		"- name: x\n\tpartitions: 1":                                              "line 2: is not YAML: found a tab character",
		"- name: \"\xff\"":                                                        "line 1: must be UTF-8",
		"[{\"name\": \"x\"},\n\n {\"name\": \"y\", \"partitions\": \"many\"}]":    "line 3: [1].partitions: must be a whole number",
		"[{\"name\": \"x\", \"records\": [\n{\"key\": true},\n{\"kye\": \"\"}]}]": "line 3: [0].records[1].kye: is not known here",
		"[{\"name\": \"x\"},\n {\"name\": }]":                                     "line 2: [1].name: must be text, not null",
		"[{\"name\": \"x\"}\n":                                                    "line 2: ends too early",
		"- name: x\n---\n- name: y":                                               "line 2: has a second document",
		"[{\"name\": \"x\"]":                                                      "line 1: is not JSON",
		"[]\n[]":                                                                  "line 2: ",
		deep:                                                                      "line 1: is nested too deep",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q", text, err, want)
		}
		var mistake *Error
		if !errors.As(err, &mistake) {
			t.Errorf("%.80q: no *Error", text)
		}
	}
}

func TestAllMistakesAreReportedUpToALimit(t *testing.T) {
	_, err := Parse([]byte("- {name: x, a: 1}\n- {name: y, b: 1}"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
	_, err = Parse([]byte(strings.Repeat("- {}\n", 1000)))
	if got := strings.Count(err.Error(), "is missing"); got != maxMistakes {
		t.Errorf("%d mistakes are reported", got)
	}
}

func resolved(t *testing.T, values settings.Values) *settings.Broker {
	t.Helper()
	s, _, err := settings.Resolve(values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettingsOfTheBrokerDecideWhatIsAllowed(t *testing.T) {
	const nowMs = 1_700_000_000_000
	for _, c := range []struct {
		text     string
		settings settings.Values
		want     string // "" for nothing
	}{
		{"- {name: x, records: [{partition: 2}]}", settings.Values{"num.partitions": "3"}, ""},
		{"- {name: x, records: [{partition: 2}]}", nil,
			"line 1: [0].records[0].partition: is 2, and the topic has 1 partitions"},
		{"- {name: x, configs: {cleanup.policy: compact}, records: [{key: k}, {value: v}]}", nil,
			"[0].records[1].key: is missing, and the topic is compacted"},
		{"- {name: x, records: [{value: v}]}", settings.Values{"log.cleanup.policy": "compact"},
			"[0].records[0].key: is missing"},
		{"- {name: x, configs: {max.message.bytes: 70}, records: [{value: v}]}", nil, ""},
		{"- {name: x, configs: {max.message.bytes: 70}, records: [{value: more}]}", nil,
			"[0].records[0]: is larger than max.message.bytes, which is 70"},
		{"- {name: x, records: [{timestamp: 1700003600000}]}", nil, ""},
		{"- {name: x, records: [{timestamp: 1700003600001}]}", nil, "[0].records[0].timestamp: is further from the present"},
		{"- {name: x, configs: {message.timestamp.type: LogAppendTime}, records: [{timestamp: 1800000000000}]}", nil, ""},
		{"- {name: x, configs: {max.compaction.lag.ms: 1, min.compaction.lag.ms: 2}}", nil, "[0].configs"},
	} {
		all, err := Parse([]byte(c.text))
		if err != nil {
			t.Fatal(c.text, err)
		}
		err = Check(all, resolved(t, c.settings), nowMs)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestCreateTopicsOfComposeFiles(t *testing.T) {
	all, err := ParseCreateTopics("a:3:1, b:1:1:compact,", "", "KAFKA_CREATE_TOPICS")
	if err != nil || show(all) != "a 3 1 map[]\nb 1 1 map[cleanup.policy:compact]\n" {
		t.Errorf("%s %v", show(all), err)
	}
	all, err = ParseCreateTopics("a:3:3\n b:1:1:compact,delete \n", "\n", "V")
	if err != nil || show(all) != "a 3 3 map[]\nb 1 1 map[cleanup.policy:compact,delete]\n" {
		t.Errorf("%s %v", show(all), err)
	}
	if err := Check(all, resolved(t, nil), 0); err != nil {
		t.Error(err)
	}
	if err := Check(all, resolved(t, settings.Values{"strict": "true"}), 0); err == nil ||
		err.Error() != "V a:3:3: the replication factor is 3, there is 1 broker" {
		t.Errorf("strict: %v", err)
	}
	for text, want := range map[string]string{
		"a":           "V a: must be NAME:PARTITIONS:REPLICAS",
		"a:x:1":       "V a:x:1: must be a whole number from 1 to 10000",
		"a:1:0":       "V a:1:0: must be a whole number from 1 to 32767",
		"a:1:1:keep":  "V a:1:1:keep: cleanup.policy=keep: must be one of compact, delete",
		"a/b:1:1":     "V a/b:1:1: invalid topic name",
		"a:1:1,a:2:1": `V a:2:1: the topic "a" stands twice`,
	} {
		if _, err := ParseCreateTopics(text, "", "V"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The hashes are those of Java's client.
func TestKeysGoWhereJavaPutsThem(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string":                       -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}

func TestBatchesKeepTheOrderOfEachPartition(t *testing.T) {
	text := "- name: x\n  partitions: 3\n  configs: {max.message.bytes: 1000}\n  records:\n"
	want := make([][]string, 3)
	for i := range 3000 {
		value := fmt.Sprint("v", i)
		switch i % 3 {
		case 0:
			text += "  - {partition: 2, value: " + value + "}\n"
			want[2] = append(want[2], value)
		case 1:
			text += "  - {key: abc, value: " + value + "}\n"
			p := partitionOf([]byte("abc"), 3)
			want[p] = append(want[p], value)
		default:
			text += "  - {value: " + value + ", timestamp: 7}\n"
			want[i/3%3] = append(want[i/3%3], value)
		}
	}
	all, err := Parse([]byte(text))
	if err == nil {
		err = Check(all, resolved(t, nil), 8)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]string, 3)
	for _, b := range all[0].Batches(8) {
		if len(b.Raw) > 1000 {
			t.Fatalf("a batch of %d bytes", len(b.Raw))
		}
		h, err := batch.ParseHeader(b.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range batch.Records(b.Raw, len(b.Raw)) {
			if err != nil {
				t.Fatal(err)
			}
			got[b.Partition] = append(got[b.Partition], string(r.Value))
			if at := h.TimestampMs(r); at != 7 && at != 8 {
				t.Fatalf("timestamp %d", at)
			}
		}
	}
	for p := range want {
		if !slices.Equal(got[p], want[p]) {
			t.Errorf("partition %d: %d records, want %d in their order", p, len(got[p]), len(want[p]))
		}
	}
}

// Whatever a text is, it is refused with a mistake, or makes batches that a broker takes.
func FuzzParse(f *testing.F) {
	for _, text := range []string{inYAML, inJSON, "- {name: x, configs: {segment.bytes: 14}, records: [{value: v}]}",
		"[{\"name\": \"x\", \"records\": [{\"key\": {\"base64\": \"\"}}]}]",
		"a: &x [*x]", "- name: 0x10\n  partitions: 0b11"} {
		f.Add([]byte(text))
	}
	s, _, err := settings.Resolve()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		if err == nil {
			err = Check(all, s, 8)
		}
		var mistake *Error
		if err != nil {
			if !errors.As(err, &mistake) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		records := 0
		for i := range all {
			for _, b := range all[i].Batches(8) {
				h, err := batch.ParseHeader(b.Raw)
				if err != nil || b.Partition >= all[i].Partitions {
					t.Fatalf("partition %d: %v", b.Partition, err)
				}
				records += int(h.RecordCount)
			}
			records -= len(all[i].Records)
		}
		if records != 0 {
			t.Errorf("%d records are missing", -records)
		}
	})
}
