package tools

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// aclsOptions are those of kafka-acls.
type aclsOptions struct {
	add, remove, list, force   bool
	allow, deny, principals    []string
	topics, groups, ids, users []string
	tokens, operations         []string
	cluster, producer          bool
	consumer, idempotent       bool
}

func aclsCommand(e *env) *cobra.Command {
	var o aclsOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.list, "list", false, "list ACLs")
	f.BoolVar(&o.add, "add", false, "add ACLs")
	f.BoolVar(&o.remove, "remove", false, "remove ACLs")
	f.StringArrayVar(&o.allow, "allow-principal", nil, "a `principal` that is allowed; repeatable")
	f.StringArrayVar(&o.deny, "deny-principal", nil, "a `principal` that is denied; repeatable")
	f.StringArrayVar(&o.principals, "principal", nil, "with --list, only ACLs of this `principal`; repeatable")
	f.StringArrayVar(&o.topics, "topic", nil, "a `topic`; repeatable")
	f.StringArrayVar(&o.groups, "group", nil, "a consumer `group`; repeatable")
	f.StringArrayVar(&o.ids, "transactional-id", nil, "a transactional `ID`; repeatable")
	f.StringArrayVar(&o.tokens, "delegation-token", nil, "a delegation `token`; repeatable")
	f.StringArrayVar(&o.users, "user-principal", nil, "a `user` as a resource; repeatable")
	f.StringArrayVar(&o.operations, "operation", nil, "an `operation`; repeatable, All by default")
	f.BoolVar(&o.cluster, "cluster", false, "the cluster as a resource")
	f.BoolVar(&o.producer, "producer", false, "what a producer needs")
	f.BoolVar(&o.consumer, "consumer", false, "what a consumer needs")
	f.BoolVar(&o.idempotent, "idempotent", false, "with --producer, what an idempotent one needs")
	f.BoolVar(&o.force, "force", false, "do not ask before ACLs are removed")
	ignored(f, "allow-host", "deny-host", "resource-pattern-type")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.validate(); err != nil {
			return err
		}
		if e.connection.servers == "" && e.connection.controllers == "" {
			return say("One of --bootstrap-server or --bootstrap-controller must be specified")
		}
		return e.withClient(c.Context(), func(ctx context.Context,
			client *kgo.Client) error {
			return e.acls(ctx, client, o)
		})
	}
	return c
}

func (o aclsOptions) validate() error {
	actions := 0
	for _, given := range []bool{o.list, o.add, o.remove} {
		if given {
			actions++
		}
	}
	hasResource := o.cluster || len(o.topics)+len(o.groups)+len(o.ids)+len(o.tokens)+len(o.users) > 0
	switch {
	case actions != 1:
		return say("Command must include exactly one action: --list, --add, --remove. ")
	case o.add && len(o.allow)+len(o.deny) == 0:
		return say("You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.")
	case !o.list && !hasResource:
		return say("You must provide at least one resource: --topic <topic> or --cluster or --group <group> or " +
			"--delegation-token <Delegation Token ID>")
	case o.idempotent && !o.producer:
		return say("The --idempotent option is only available if --producer is set")
	}
	for _, op := range o.operations {
		if _, err := kmsg.ParseACLOperation(op); err != nil {
			return say("%s is no operation", op)
		}
	}
	return nil
}

// acls asks a broker without authorizer what it says of ACLs. One that has an authorizer is left to Kafka's own tool.
func (e *env) acls(ctx context.Context, client *kgo.Client, o aclsOptions) error {
	list := kmsg.NewPtrDescribeACLsRequest()
	list.ResourceType, list.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	list.Operation, list.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	listed, err := list.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	code, message := listed.ErrorCode, listed.ErrorMessage
	switch {
	case code == 0:
		return say("this broker has an authorizer; use kafka-acls.sh of Apache Kafka")
	case o.remove:
		code, message, err = removeACL(ctx, client, slices.Concat(o.allow, o.deny, o.principals))
	case o.add:
		code, message, err = addACL(ctx, client, slices.Concat(o.allow, o.deny))
	}
	if err != nil {
		return err
	}
	return e.fail("Error while executing ACL command: %s", strings.TrimSuffix(javaError(code, message), "\n"))
}

// addACL is for a broker that adds nothing: it asks for one ACL.
func addACL(ctx context.Context, client *kgo.Client, principals []string) (code int16, message *string, err error) {
	acl := kmsg.NewCreateACLsRequestCreation()
	acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = kmsg.ACLResourceTypeTopic, "none",
		kmsg.ACLResourcePatternTypeLiteral
	acl.Principal, acl.Host, acl.Operation, acl.PermissionType = principals[0], "*", kmsg.ACLOperationRead,
		kmsg.ACLPermissionTypeAllow
	r := kmsg.NewPtrCreateACLsRequest()
	r.Creations = append(r.Creations, acl)
	answer, err := r.RequestWith(ctx, client)
	if err != nil || len(answer.Results) == 0 {
		return 0, nil, err
	}
	return answer.Results[0].ErrorCode, answer.Results[0].ErrorMessage, nil
}

// removeACL is for a broker that removes nothing.
func removeACL(ctx context.Context, client *kgo.Client, principals []string) (code int16, message *string, err error) {
	filter := kmsg.NewDeleteACLsRequestFilter()
	filter.ResourceType, filter.ResourcePatternType = kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral
	filter.Operation, filter.PermissionType = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
	if len(principals) > 0 {
		filter.Principal = &principals[0]
	}
	r := kmsg.NewPtrDeleteACLsRequest()
	r.Filters = append(r.Filters, filter)
	answer, err := r.RequestWith(ctx, client)
	if err != nil || len(answer.Results) == 0 {
		return 0, nil, err
	}
	return answer.Results[0].ErrorCode, answer.Results[0].ErrorMessage, nil
}
