package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// quotaType is the type in requests of a kind of entities with quotas.
func quotaType(kind string) string {
	switch kind {
	case "users":
		return "user"
	case "clients":
		return "client-id"
	}
	return "ip"
}

// clientQuotas are the quotas of users and clients; connectionQuota is that of addresses.
var clientQuotas = []string{
	"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate",
}

const connectionQuota = "connection_creation_rate"

// mechanism is the SCRAM mechanism of a setting's name, or 0.
func mechanism(name string) kadm.ScramMechanism {
	switch name {
	case "SCRAM-SHA-256":
		return kadm.ScramSha256
	case "SCRAM-SHA-512":
		return kadm.ScramSha512
	}
	return 0
}

// minIterations is the least number of iterations, and that of a credential that says none.
const minIterations = 4096

// describeQuotas prints quotas of users, clients or addresses, and the SCRAM credentials of users.
func (s *settings) describeQuotas(ctx context.Context) error {
	entities := s.options.entities
	quotas, err := s.quotas(ctx, entities)
	if err != nil {
		return err
	}
	for _, q := range quotas {
		var values []string
		for _, v := range q.Values {
			values = append(values, v.Key+"="+javaDouble(v.Value))
		}
		slices.Sort(values)
		s.print("Quota configs for %s are %s\n", printedEntity(q.Entity), strings.Join(values, ", "))
	}
	if len(entities) > 1 || entities[0].kind != "users" || entities[0].isDefault {
		return nil
	}
	return s.describeCredentials(ctx, entities[0])
}

// quotas asks for the quotas of entities.
func (s *settings) quotas(ctx context.Context, entities []entity) (kadm.DescribedClientQuotas, error) {
	var components []kadm.DescribeClientQuotaComponent
	for _, e := range entities {
		c := kadm.DescribeClientQuotaComponent{Type: quotaType(e.kind), MatchType: matchAny}
		switch {
		case e.isDefault:
			c.MatchType = matchDefault
		case e.named:
			c.MatchType, c.MatchName = matchExact, &e.name
		}
		components = append(components, c)
	}
	return s.admin.DescribeClientQuotas(ctx, true, components)
}

// How DescribeClientQuotas matches an entity.
const (
	matchExact   = 0
	matchDefault = 1
	matchAny     = 2
)

// printedEntity is how Kafka's tool prints whom quotas are for: user-principal 'ann', the default client-id.
func printedEntity(of kadm.ClientQuotaEntity) string {
	var parts []string
	for _, kind := range []string{"user", "client-id", "ip"} {
		printed := kind
		if kind == "user" {
			printed = "user-principal"
		}
		for _, c := range of {
			switch {
			case c.Type != kind:
			case c.Name == nil:
				parts = append(parts, "the default "+printed)
			default:
				parts = append(parts, fmt.Sprintf("%s '%s'", printed, *c.Name))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// javaDouble is how Java prints a double: 1024.0, 1.0E8.
func javaDouble(d float64) string {
	if d != 0 && (d >= 1e7 || d < 1e-3) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(d, 'E', -1, 64), "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exponent)
		return mantissa + "E" + strconv.Itoa(n)
	}
	text := strconv.FormatFloat(d, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func (s *settings) describeCredentials(ctx context.Context, user entity) error {
	var names []string
	if user.named {
		names = []string{user.name}
	}
	described, err := s.admin.DescribeUserSCRAMs(ctx, names...)
	if err != nil {
		return err
	}
	for _, d := range described.Sorted() {
		if errors.Is(d.Err, kerr.ResourceNotFound) {
			continue
		}
		if d.Err != nil {
			return say("%s", reason(d.Err, d.ErrMessage))
		}
		var credentials []string
		for _, c := range d.CredInfos {
			credentials = append(credentials, c.String())
		}
		s.print("SCRAM credential configs for user-principal '%s' are %s\n", d.User, strings.Join(credentials, ", "))
	}
	return nil
}

// alterQuotas changes quotas of users, clients or addresses, or SCRAM credentials of a user.
func (s *settings) alterQuotas(ctx context.Context, changes []change) error {
	kind := s.options.entities[0].kind
	allowed, what := clientQuotas, "quota"
	switch kind {
	case "users":
		what = "quota and SCRAM credential"
	case "ips":
		allowed, what = []string{connectionQuota}, "connection quota"
	}
	var quotas, credentials []change
	var unexpected []string
	verb := "deleted"
	for _, c := range changes {
		switch {
		case slices.Contains(allowed, c.name):
			quotas = append(quotas, c)
		case mechanism(c.name) != 0 && kind == "users" && len(s.options.entities) == 1:
			credentials = append(credentials, c)
		default:
			unexpected = append(unexpected, c.name)
			if !c.delete {
				verb = "added"
			}
		}
	}
	switch {
	case len(unexpected) > 0:
		return say("Only %s configs can be %s for '%s' using --bootstrap-server. Unexpected config names: %s", what, verb,
			kind, strings.Join(unexpected, ","))
	case len(quotas) > 0 && len(credentials) > 0:
		return say("Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using " +
			"--bootstrap-server.")
	case len(credentials) > 0:
		return s.alterCredentials(ctx, s.options.entities[0], credentials)
	}
	return s.setQuotas(ctx, quotas)
}

func (s *settings) setQuotas(ctx context.Context, changes []change) error {
	entry := kadm.AlterClientQuotaEntry{}
	for _, e := range s.options.entities {
		c := kadm.ClientQuotaEntityComponent{Type: quotaType(e.kind)}
		if e.named {
			c.Name = &e.name
		}
		entry.Entity = append(entry.Entity, c)
	}
	for _, c := range changes {
		op := kadm.AlterClientQuotaOp{Key: c.name, Remove: c.delete}
		if !c.delete {
			value, err := strconv.ParseFloat(c.value, 64)
			if err != nil {
				return say("Cannot parse quota configuration value for %s: %s", c.name, c.value)
			}
			op.Value = value
		}
		entry.Ops = append(entry.Ops, op)
	}
	if err := s.hasQuotas(ctx, changes); err != nil {
		return err
	}
	altered, err := s.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return err
	}
	for _, a := range altered {
		if a.Err != nil {
			return s.refused(reason(a.Err, a.ErrMessage))
		}
	}
	return nil
}

// hasQuotas returns Kafka's error if a quota that is to be deleted is not set.
func (s *settings) hasQuotas(ctx context.Context, changes []change) error {
	quotas, err := s.quotas(ctx, s.options.entities)
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range changes {
		set := slices.ContainsFunc(quotas, func(q kadm.DescribedClientQuota) bool {
			return slices.ContainsFunc(q.Values, func(v kadm.ClientQuotaValue) bool { return v.Key == c.name })
		})
		if c.delete && !set {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return say("Invalid config(s): %s", strings.Join(missing, ","))
	}
	return nil
}

// alterCredentials sets and deletes SCRAM credentials of a user.
func (s *settings) alterCredentials(ctx context.Context, user entity, changes []change) error {
	if user.isDefault {
		return say("The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using " +
			"--bootstrap-server.")
	}
	var deletions []kadm.DeleteSCRAM
	var upserts []kadm.UpsertSCRAM
	for _, c := range changes {
		if c.delete {
			deletions = append(deletions, kadm.DeleteSCRAM{User: user.name, Mechanism: mechanism(c.name)})
			continue
		}
		iterations, password, err := credential(c)
		if err != nil {
			return err
		}
		upserts = append(upserts, kadm.UpsertSCRAM{
			User: user.name, Mechanism: mechanism(c.name), Iterations: iterations, Password: password,
		})
	}
	altered, err := s.admin.AlterUserSCRAMs(ctx, deletions, upserts)
	if err != nil {
		return s.refused(err.Error())
	}
	for _, a := range altered.Sorted() {
		if a.Err != nil {
			return s.refused(reason(a.Err, a.ErrMessage))
		}
	}
	return nil
}

// credential reads iterations=8192,password=secret. Kafka's tool takes no other order.
func credential(c change) (iterations int32, password string, err error) {
	iterations = minIterations
	rest := c.value
	if number, after, ok := strings.Cut(strings.TrimPrefix(rest, "iterations="), ","); ok &&
		strings.HasPrefix(rest, "iterations=") {
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return 0, "", say("Invalid credential property %s=%s", strings.ReplaceAll(c.name, "-", "_"), c.value)
		}
		iterations, rest = int32(n), after
	}
	password, ok := strings.CutPrefix(rest, "password=")
	switch {
	case !ok || password == "":
		return 0, "", say("Invalid credential property %s=%s", strings.ReplaceAll(c.name, "-", "_"), c.value)
	case iterations < minIterations:
		return 0, "", say("Iterations %d is less than the minimum %d required for %s", iterations, minIterations, c.name)
	}
	return iterations, password, nil
}
