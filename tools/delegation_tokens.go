package tools

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tokenOptions are those of kafka-delegation-tokens.
type tokenOptions struct {
	create, renew, expire, describe bool
	hmac                            string
	mac                             []byte // that hmac has
	owners, renewers                []string
	maxLife, renewTime, expiry      int64
}

// delegationTokensCommand is kafka-delegation-tokens. A broker without authentication has no tokens: it is asked, and
// its refusal printed.
func delegationTokensCommand(e *env) *cobra.Command {
	var o tokenOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.create, "create", false, "make a token")
	f.BoolVar(&o.renew, "renew", false, "renew a token")
	f.BoolVar(&o.expire, "expire", false, "make a token expire")
	f.BoolVar(&o.describe, "describe", false, "describe tokens")
	f.StringVar(&o.hmac, "hmac", "", "the `HMAC` of the token")
	f.StringArrayVar(&o.owners, "owner-principal", nil, "an `owner` of tokens; repeatable")
	f.StringArrayVar(&o.renewers, "renewer-principal", nil, "a `principal` that may renew the token; repeatable")
	f.Int64Var(&o.maxLife, "max-life-time-period", -1, "how long the token lives, in `milliseconds`")
	f.Int64Var(&o.renewTime, "renew-time-period", -1, "for how long the token is renewed, in `milliseconds`")
	f.Int64Var(&o.expiry, "expiry-time-period", -1, "when the token expires, in `milliseconds`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.validate(f); err != nil {
			return err
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.delegationTokens(ctx, client, o)
		})
	}
	return c
}

func (o *tokenOptions) validate(f *pflag.FlagSet) (err error) {
	if err := required(f, "bootstrap-server", "command-config"); err != nil {
		return err
	}
	switch {
	case given(f, "create", "renew", "expire", "describe") != 1:
		return say("Command must include exactly one action: --create, --renew, --expire or --describe")
	case o.create:
		return required(f, "max-life-time-period")
	case o.renew:
		err = required(f, "hmac", "renew-time-period")
	case o.expire:
		err = required(f, "hmac", "expiry-time-period")
	}
	if err != nil {
		return err
	}
	if o.mac, err = base64.StdEncoding.DecodeString(o.hmac); err != nil {
		return say("--hmac %s: not in base 64", o.hmac)
	}
	return nil
}

// delegationTokens asks for what the options say, and prints the refusal.
func (e *env) delegationTokens(ctx context.Context, client *kgo.Client, o tokenOptions) error {
	answer, err := client.Request(ctx, e.tokenRequest(o))
	if err != nil {
		return err
	}
	var code int16
	switch answer := answer.(type) {
	case *kmsg.CreateDelegationTokenResponse:
		code = answer.ErrorCode
	case *kmsg.RenewDelegationTokenResponse:
		code = answer.ErrorCode
	case *kmsg.ExpireDelegationTokenResponse:
		code = answer.ErrorCode
	case *kmsg.DescribeDelegationTokenResponse:
		code = answer.ErrorCode
	}
	if code == 0 {
		return say("this broker has delegation tokens; use kafka-delegation-tokens.sh of Apache Kafka")
	}
	return e.fail("%s", javaError(code, nil))
}

// tokenRequest returns the request for what the options say, and prints it.
func (e *env) tokenRequest(o tokenOptions) kmsg.Request {
	switch {
	case o.create:
		e.print("Calling create token operation with renewers :%s , max-life-time-period :%d\n", listed(o.renewers),
			o.maxLife)
		r := kmsg.NewPtrCreateDelegationTokenRequest()
		r.MaxLifetimeMillis = o.maxLife
		return r
	case o.renew:
		e.print("Calling renew token operation with hmac :%s , renew-time-period :%d\n", o.hmac, o.renewTime)
		r := kmsg.NewPtrRenewDelegationTokenRequest()
		r.HMAC, r.RenewTimeMillis = o.mac, o.renewTime
		return r
	case o.expire:
		e.print("Calling expire token operation with hmac :%s , expire-time-period :%d\n", o.hmac, o.expiry)
		r := kmsg.NewPtrExpireDelegationTokenRequest()
		r.HMAC, r.ExpiryPeriodMillis = o.mac, o.expiry
		return r
	}
	of := "current user."
	if len(o.owners) > 0 {
		of = "owners: " + listed(o.owners)
	}
	e.print("Calling describe token operation for %s\n", of)
	return kmsg.NewPtrDescribeDelegationTokenRequest()
}

// listed is how Java prints a list.
func listed(words []string) string { return fmt.Sprintf("[%s]", strings.Join(words, ", ")) }
