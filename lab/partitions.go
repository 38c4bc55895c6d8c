package lab

import (
	"errors"
	"net/http"
	"strconv"

	"once/cluster"
	"once/partition"
	"once/topics"
)

func partitionCalls() []call {
	return []call{
		on(http.MethodPost, "/partitions/{topic}/{partition}/offline", "Take a partition offline, until it is brought "+
			"online or the cluster restarts; with one of an internal topic goes its coordinator",
			viewing(takeOffline)).changing(),
		on(http.MethodPost, "/partitions/{topic}/{partition}/online", "Bring a partition back that a test has taken offline",
			viewing(bringOnline)).changing(),
		on(http.MethodPost, "/producers/{id}/forget", "Make a partition forget a producer, as if it had expired",
			forgetProducer),
	}
}

// partitionIn returns a partition and its index.
func partitionIn(v cluster.View, topic, index string) (*partition.Partition, int32, error) {
	i, err := strconv.ParseInt(index, 10, 32)
	p, ok := v.Topics.Partition(topic, int32(i))
	if err != nil || !ok {
		return nil, 0, fails(http.StatusNotFound, "there is no partition %s of a topic %q", index, topic)
	}
	return p, int32(i), nil
}

func takeOffline(x *exchange, v cluster.View) (Partition, error) {
	p, index, err := partitionIn(v, x.request.PathValue("topic"), x.request.PathValue("partition"))
	if err != nil {
		return Partition{}, err
	}
	v.TakeOffline(p)
	return partitionOf(index, p), nil
}

func bringOnline(x *exchange, v cluster.View) (Partition, error) {
	p, index, err := partitionIn(v, x.request.PathValue("topic"), x.request.PathValue("partition"))
	if err != nil {
		return Partition{}, err
	}
	if err := v.BringOnline(p); err != nil {
		return Partition{}, fails(http.StatusConflict, "%v", err)
	}
	return partitionOf(index, p), nil
}

func forgetProducer(x *exchange, from *TopicPartition) (Partition, error) {
	id, err := strconv.ParseInt(x.request.PathValue("id"), 10, 64)
	if err != nil {
		return Partition{}, fails(http.StatusNotFound, "there is no producer %q: a producer ID is a number",
			x.request.PathValue("id"))
	}
	if err := required("topic", from.Topic); err != nil {
		return Partition{}, err
	}
	v, ok := x.cluster.View()
	if !ok {
		return Partition{}, errDown
	}
	defer v.End()
	p, index, err := partitionIn(v, from.Topic, strconv.Itoa(int(from.Partition)))
	if err != nil {
		return Partition{}, err
	}
	if topics.IsInternal(from.Topic) {
		return Partition{}, fails(http.StatusConflict, "%q is an internal topic", from.Topic)
	}
	err = p.ForgetProducer(id)
	switch {
	case errors.Is(err, partition.ErrUnknownProducer):
		return Partition{}, fails(http.StatusNotFound, "partition %d of %q does not know the producer %d", index, from.Topic,
			id)
	case err != nil: // its transaction is open, or the partition is offline
		return Partition{}, fails(http.StatusConflict, "%v", err)
	}
	return partitionOf(index, p), nil
}
