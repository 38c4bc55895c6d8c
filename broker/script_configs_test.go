package broker_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
)

// Configurations of topics.
func init() {
	commands["alter"] = alterIncrementally
	commands["replace"] = replaceConfigs
	commands["configs"] = describeConfigs
	commands["partitions"] = createPartitions
	commands["delete-topic"] = deleteTopic
}

// alterIncrementally: alter topic=x [set=[name:value …]] [delete=[name …]] [append=[name:value …]]
// [subtract=[name:value …]] [null=[name …]] [validate] [version=V]; null sets a name to no value
func alterIncrementally(p *peer, c script.Command) string {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version, r.ValidateOnly = int16(p.int(c, "version", 1)), c.Has("validate")
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceType(p.int(c, "type", 2)), p.resource(c)
	for _, op := range []struct {
		name string
		op   kmsg.IncrementalAlterConfigOp
	}{{"set", 0}, {"null", 0}, {"delete", 1}, {"append", 2}, {"subtract", 3}} {
		for _, kv := range c.List(op.name) {
			k, v, found := strings.Cut(kv, ":")
			e := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: k, Op: op.op}
			if found {
				e.Value = &v
			}
			res.Configs = append(res.Configs, e)
		}
	}
	r.Resources = append(r.Resources, res)
	var out []string
	for _, got := range p.ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources {
		out = append(out, code(got.ErrorCode))
	}
	return strings.Join(out, "\n")
}

// replaceConfigs: replace topic=x [set=[name:value …]] [validate] [version=V]: what is not named is reset
func replaceConfigs(p *peer, c script.Command) string {
	r := kmsg.NewPtrAlterConfigsRequest()
	r.Version, r.ValidateOnly = int16(p.int(c, "version", 2)), c.Has("validate")
	res := kmsg.NewAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, p.resource(c)
	for _, kv := range c.List("set") {
		k, v, found := strings.Cut(kv, ":")
		e := kmsg.AlterConfigsRequestResourceConfig{Name: k}
		if found {
			e.Value = &v
		}
		res.Configs = append(res.Configs, e)
	}
	r.Resources = append(r.Resources, res)
	return code(p.ask(r).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode)
}

// resource is the topic of a command.
func (p *peer) resource(c script.Command) string {
	name := c.String("topic", "x")
	if name == "" || strings.HasPrefix(name, "__") {
		return name
	}
	return name + p.suffix
}

var configTypes = []string{"unknown", "boolean", "string", "int", "short", "long", "double", "list", "class",
	"password"}

// describeConfigs: configs topic=x [keys=[…]] [without=[…]] [set] [types] [synonyms]: names and values; with set
// only those of the topic itself, with types what kind each is, with synonyms where else it could be set
func describeConfigs(p *peer, c script.Command) string {
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.Version, r.IncludeSynonyms, r.IncludeDocumentation = int16(p.int(c, "version", 4)), c.Has("synonyms"),
		c.Has("documented")
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.ConfigNames = kmsg.ConfigResourceTypeTopic, p.resource(c), c.List("keys")
	r.Resources = append(r.Resources, res)
	got := p.ask(r).(*kmsg.DescribeConfigsResponse).Resources[0]
	if got.ErrorCode != 0 {
		return code(got.ErrorCode)
	}
	var out []string
	for _, e := range got.Configs {
		if c.Has("set") && e.Source != kmsg.ConfigSourceDynamicTopicConfig || slices.Contains(c.List("without"), e.Name) {
			continue
		}
		line := e.Name + "=null"
		if e.Value != nil {
			line = e.Name + "=" + *e.Value
		}
		if c.Has("types") {
			line += fmt.Sprintf(" %s read_only=%v sensitive=%v", configTypes[e.ConfigType], e.ReadOnly, e.IsSensitive)
		}
		if c.Has("synonyms") {
			line += fmt.Sprintf(" source=%d", e.Source)
			for _, s := range e.ConfigSynonyms {
				line += fmt.Sprintf(" %s:%d", s.Name, s.Source)
				if s.Value != nil {
					line += "=" + *s.Value
				}
			}
		}
		if c.Has("documented") {
			line += fmt.Sprintf(" documented=%v", e.Documentation != nil && *e.Documentation != "")
		}
		out = append(out, line)
	}
	if len(out) == 0 {
		return "none"
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// createPartitions: partitions topic=x count=N [validate]
func createPartitions(p *peer, c script.Command) string {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Version, r.ValidateOnly, r.TimeoutMillis = 3, c.Has("validate"), 10_000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = p.resource(c), int32(p.int(c, "count", 1))
	r.Topics = append(r.Topics, t)
	resp := p.ask(r).(*kmsg.CreatePartitionsResponse).Topics[0]
	if p.own == nil && resp.ErrorCode == 0 && !r.ValidateOnly {
		p.awaitLeaders(t.Topic, t.Count)
	}
	return code(resp.ErrorCode)
}

// deleteTopic: delete-topic topic=x
func deleteTopic(p *peer, c script.Command) string {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TimeoutMillis = 5, 10_000
	r.TopicNames = []string{p.resource(c)}
	return code(p.ask(r).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
}
