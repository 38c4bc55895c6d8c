package tools

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// logDirsCommand is kafka-log-dirs.
func logDirsCommand(e *env) *cobra.Command {
	var describe bool
	var brokers, topics string
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&describe, "describe", false, "print the log directories as JSON")
	f.StringVar(&brokers, "broker-list", "", "only those of these brokers, `ID,ID`")
	f.StringVar(&topics, "topic-list", "", "only partitions of these topics, `TOPIC,TOPIC`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(f, "describe"); err != nil {
			return err
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.logDirs(ctx, kadm.NewClient(client), splitList(brokers), splitList(topics))
		})
	}
	return c
}

// splitList cuts a list at its commas.
func splitList(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(word string) bool { return word == "" })
}

// What kafka-log-dirs prints, in this order.
type (
	printedBrokers struct {
		Brokers []printedBroker `json:"brokers"`
		Version int             `json:"version"`
	}
	printedBroker struct {
		Broker  int32           `json:"broker"`
		LogDirs []printedLogDir `json:"logDirs"`
	}
	printedLogDir struct {
		Partitions []printedReplica `json:"partitions"`
		Error      *string          `json:"error"`
		LogDir     string           `json:"logDir"`
	}
	printedReplica struct {
		Partition string `json:"partition"`
		Size      int64  `json:"size"`
		OffsetLag int64  `json:"offsetLag"`
		IsFuture  bool   `json:"isFuture"`
	}
)

func (e *env) logDirs(ctx context.Context, admin *kadm.Client, brokers, topics []string) error {
	ids, err := e.existingBrokers(ctx, admin, brokers)
	if err != nil {
		return err
	}
	e.print("Querying brokers for log directories information\n")
	printed := printedBrokers{Version: 1}
	for _, id := range ids {
		described, err := admin.DescribeBrokerLogDirs(ctx, id, nil)
		if err != nil {
			return err
		}
		printed.Brokers = append(printed.Brokers, printedBroker{Broker: id, LogDirs: printedDirs(described, topics)})
	}
	e.print("Received log directory information from brokers %s\n", joinNumbers(ids))
	text, err := json.Marshal(printed)
	e.print("%s\n", text)
	return err
}

// existingBrokers returns the IDs of a list, all of which exist; of all brokers if the list is empty.
func (e *env) existingBrokers(ctx context.Context, admin *kadm.Client, list []string) ([]int32, error) {
	metadata, err := admin.ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	known := metadata.NodeIDs()
	if len(list) == 0 {
		return known, nil
	}
	var ids, missing []int32
	for _, word := range list {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, say("For input string: \"%s\"", word)
		}
		if ids = append(ids, int32(id)); !slices.Contains(known, int32(id)) {
			missing = append(missing, int32(id))
		}
	}
	if len(missing) > 0 {
		return nil, e.fail("ERROR: The given brokers do not exist from --broker-list: %s. Current existent brokers: %s",
			joinNumbers(missing), joinNumbers(known))
	}
	return ids, nil
}

func printedDirs(described kadm.DescribedLogDirs, topics []string) []printedLogDir {
	dirs := []printedLogDir{}
	for _, dir := range described.Sorted() {
		printed := printedLogDir{LogDir: dir.Dir, Partitions: []printedReplica{}}
		if dir.Err != nil {
			why := javaFailure(dir.Err, "")
			printed.Error = &why
		}
		for _, p := range dir.Topics.Sorted() {
			if len(topics) > 0 && !slices.Contains(topics, p.Topic) {
				continue
			}
			printed.Partitions = append(printed.Partitions, printedReplica{
				Partition: partitionName(p.Topic, p.Partition), Size: p.Size, OffsetLag: p.OffsetLag, IsFuture: p.IsFuture,
			})
		}
		dirs = append(dirs, printed)
	}
	return dirs
}
