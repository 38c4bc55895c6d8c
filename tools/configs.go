package tools

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// configsOptions are those of kafka-configs.
type configsOptions struct {
	describe, alter, all bool
	types                []string
	names                entityNames
	entities             []entity // that the options name
	add                  []string
	addFile              string
	delete               []string
}

// entity is what settings belong to. Without a name and not the default one it means all of its kind.
type entity struct {
	kind      string // topics, users and so on
	name      string
	named     bool
	isDefault bool
}

// entityNames are the values of --entity-name and --entity-default, in the order in which they are given.
type entityNames []entity

// entityName is one of the two options.
type entityName struct {
	names     *entityNames
	isDefault bool
}

func (n entityName) String() string { return "" }

func (n entityName) Type() string {
	if n.isDefault {
		return "bool"
	}
	return "string"
}

func (n entityName) Set(value string) error {
	if n.isDefault {
		value = ""
	}
	*n.names = append(*n.names, entity{name: value, named: !n.isDefault, isDefault: n.isDefault})
	return nil
}

// shortForms are the options that name an entity of a kind, and those that mean the default of a kind, in the order in
// which Kafka's tool reads them.
var shortForms = []struct {
	option, kind string
	isDefault    bool
}{
	{"topic", "topics", false}, {"client", "clients", false}, {"user", "users", false}, {"broker", "brokers", false},
	{"broker-logger", "broker-loggers", false}, {"ip", "ips", false}, {"client-metrics", "client-metrics", false},
	{"group", "groups", false}, {"client-defaults", "clients", true}, {"user-defaults", "users", true},
	{"broker-defaults", "brokers", true}, {"ip-defaults", "ips", true},
}

func configsCommand(e *env) *cobra.Command {
	var o configsOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.describe, "describe", false, "print settings")
	f.BoolVar(&o.alter, "alter", false, "change settings")
	f.BoolVar(&o.all, "all", false, "describe all settings, those with their default values too")
	f.StringArrayVar(&o.types, "entity-type", nil,
		"`topics, brokers, broker-loggers, clients, users, ips, groups or client-metrics`; users and clients may be combined")
	f.Var(entityName{names: &o.names}, "entity-name", "the `name` of the entity")
	f.VarPF(entityName{names: &o.names, isDefault: true}, "entity-default", "", "the default of the entities").
		NoOptDefVal = "true"
	for _, s := range shortForms {
		if s.isDefault {
			f.Bool(s.option, false, "the same as --entity-type "+s.kind+" --entity-default")
		} else {
			f.String(s.option, "", "the same as --entity-type "+s.kind+" --entity-name `NAME`")
		}
	}
	f.StringArrayVar(&o.add, "add-config", nil, "settings, `NAME=VALUE,NAME=[VALUE,VALUE]`")
	f.StringVar(&o.addFile, "add-config-file", "", "a property `file` with settings")
	f.StringArrayVar(&o.delete, "delete-config", nil, "settings to go back to their default, `NAME,NAME`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.resolve(f); err != nil {
			return err
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			s := settings{env: e, options: o, client: client, admin: kadm.NewClient(client)}
			if o.describe {
				return s.describe(ctx)
			}
			return s.alter(ctx)
		})
	}
	return c
}

// resolve finds out the entities, and returns the error for options that do not fit.
func (o *configsOptions) resolve(f *pflag.FlagSet) error {
	if o.describe == o.alter {
		return say("Command must include exactly one action: --describe, --alter")
	}
	for i, kind := range o.types {
		of := entity{kind: kind}
		if i < len(o.names) {
			of = o.names[i]
			of.kind = kind
		}
		o.entities = append(o.entities, of)
	}
	short := false
	for _, s := range shortForms {
		if f.Changed(s.option) {
			short = true
			of := entity{kind: s.kind, isDefault: s.isDefault, named: !s.isDefault}
			if of.named {
				of.name = f.Lookup(s.option).Value.String()
			}
			o.entities = append(o.entities, of)
		}
	}
	if err := o.validateKinds(); err != nil {
		return err
	}
	if short && (len(o.types) > 0 || len(o.names) > 0) {
		return say("--entity-{type,name,default} should not be used in conjunction with specific entity flags")
	}
	if err := o.validateNames(); err != nil {
		return err
	}
	if o.alter {
		return o.validateChange()
	}
	return clash(f, "describe", "add-config", "add-config-file", "delete-config")
}

// entityKinds are the kinds of entities in the order of Kafka's message.
var entityKinds = []string{"broker-loggers", "topics", "clients", "users", "brokers", "ips", "client-metrics", "groups"}

func (o *configsOptions) validateKinds() error {
	if len(o.entities) == 0 {
		return say("At least one entity type must be specified")
	}
	for i, e := range o.entities {
		switch {
		case !slices.Contains(entityKinds, e.kind):
			return say("Invalid entity type %s, the entity type must be one of %s with a --bootstrap-server or "+
				"--bootstrap-controller argument", e.kind, strings.Join(entityKinds, ", "))
		case slices.ContainsFunc(o.entities[:i], func(other entity) bool { return other.kind == e.kind }):
			return say("Duplicate entity type(s) specified: %s", e.kind)
		}
	}
	if len(o.entities) > 1 && (len(o.entities) > 2 || !o.has("users") || !o.has("clients")) {
		return say("Only 'users' and 'clients' entity types may be specified together")
	}
	return nil
}

func (o *configsOptions) has(kind string) bool {
	return slices.ContainsFunc(o.entities, func(e entity) bool { return e.kind == kind })
}

func (o *configsOptions) validateNames() error {
	action := "describe"
	if o.alter {
		action = "alter"
	}
	for _, e := range o.entities {
		mayBeDefault := e.kind == "users" || e.kind == "clients" || e.kind == "brokers" || e.kind == "ips"
		switch {
		case o.alter && mayBeDefault && !e.named && !e.isDefault:
			return say("An entity-name or default entity must be specified with --alter of users, clients, brokers or ips")
		case o.alter && !mayBeDefault && !e.named, e.kind == "broker-loggers" && !e.named:
			return say("An entity name must be specified with --%s of %s", action, e.kind)
		case e.isDefault && !mayBeDefault:
			return say("--entity-default must not be specified with --%s of %s", action, e.kind)
		}
		if !e.named {
			continue
		}
		if _, err := strconv.Atoi(e.name); err != nil && (e.kind == "brokers" || e.kind == "broker-loggers") {
			return say("The entity name for %s must be a valid integer broker id, but it is: %s", e.kind, e.name)
		}
		if e.kind == "ips" && net.ParseIP(e.name) == nil {
			if _, err := net.LookupHost(e.name); err != nil {
				return say("The entity name for ips must be a valid IP or resolvable host, but it is: %s", e.name)
			}
		}
	}
	return nil
}

func (o *configsOptions) validateChange() error {
	if len(o.add) == 0 && o.addFile == "" && len(o.delete) == 0 {
		return say("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter")
	}
	return nil
}
