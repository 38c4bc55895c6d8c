package tools

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func clusterCommand(e *env) *cobra.Command {
	c := &cobra.Command{Args: cobra.ArbitraryArgs}
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return say("kafka-cluster: error: too few arguments")
		}
		return say("kafka-cluster: error: argument command: invalid choice: '%s' (choose from 'cluster-id', 'unregister', "+
			"'list-endpoints', 'api-versions')", args[0])
	}
	for _, sub := range []*cobra.Command{clusterID(e), unregister(e), listEndpoints(e), apiVersions(e)} {
		e.connection.flags(sub.Flags())
		c.AddCommand(sub)
	}
	return c
}

func apiVersions(e *env) *cobra.Command {
	c := &cobra.Command{Use: "api-versions", Short: "Print the versions of the APIs, as kafka-broker-api-versions"}
	c.RunE = func(c *cobra.Command, _ []string) error { return e.printVersions(c.Context()) }
	return c
}

func clusterID(e *env) *cobra.Command {
	c := &cobra.Command{Use: "cluster-id", Short: "Print the ID of the cluster"}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			cluster, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, client)
			if err != nil {
				return err
			}
			e.print("Cluster ID: %s\n", cluster.ClusterID)
			return nil
		})
	}
	return c
}

func listEndpoints(e *env) *cobra.Command {
	var fenced bool
	c := &cobra.Command{Use: "list-endpoints", Short: "List the addresses of the brokers"}
	c.Flags().BoolVar(&fenced, "include-fenced-brokers", false, "fenced brokers, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			r := kmsg.NewPtrDescribeClusterRequest()
			r.IncludeFencedBrokers = fenced
			cluster, err := r.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			width := 0
			for _, b := range cluster.Brokers {
				width = max(width, len(b.Host))
			}
			format := fmt.Sprintf("%%-10s %%-%ds %%-10s %%-10s %%-10s %%-15s\n", width)
			e.print(format, "ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE")
			for _, b := range cluster.Brokers {
				rack, state := "null", "unfenced"
				if b.Rack != nil {
					rack = *b.Rack
				}
				if b.IsFenced {
					state = "fenced"
				}
				e.print(format, strconv.Itoa(int(b.NodeID)), b.Host, strconv.Itoa(int(b.Port)), rack, state, "broker")
			}
			return nil
		})
	}
	return c
}

func unregister(e *env) *cobra.Command {
	var id int32
	c := &cobra.Command{Use: "unregister", Short: "Remove a broker from the cluster's metadata"}
	c.Flags().Int32VarP(&id, "id", "i", 0, "the `ID` of the broker")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !c.Flags().Changed("id") {
			return say("kafka-cluster: error: argument --id/-i is required")
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			r := kmsg.NewPtrUnregisterBrokerRequest()
			r.BrokerID = id
			answer, err := r.RequestWith(ctx, client)
			if err != nil {
				return err
			}
			if answer.ErrorCode != 0 {
				return e.fail("%s", javaError(answer.ErrorCode, answer.ErrorMessage))
			}
			e.print("Broker %d is no longer registered.\n", id)
			return nil
		})
	}
	return c
}
