import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConsumerGroupsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListStreamsGroupOffsetsSpec;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.SharePartitionOffsetInfo;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ClassicGroupState;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;

/**
 * Kafka's Admin client asks about groups of every type what no command-line tool asks, and each answer is looked at.
 * Prints what it has shown, and DONE at the end.
 *
 *   java AdminGroups.java BROKER NAME
 */
class AdminGroups {
	static String address, topic;
	static Admin admin;
	static TopicPartition first, second;

	public static void main(String[] args) throws Exception {
		address = args[0];
		topic = args[1];
		first = new TopicPartition(topic, 0);
		second = new TopicPartition(topic, 1);
		admin = Admin.create(Map.of("bootstrap.servers", address));
		admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1),
				new NewTopic(topic + "-in", 1, (short) 1))).all().get();
		try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", address),
				new StringSerializer(),
				new StringSerializer())) {
			for (int i = 0; i < 10; i++)
				producer.send(new ProducerRecord<>(topic, i % 2, null, "" + i)).get();
		}
		String classic = topic + "-classic", modern = topic + "-modern", share = topic + "-share";
		try (var a = consumer(classic, "classic"); var b = consumer(modern, "consumer"); var c = shareConsumer(share)) {
			until("all members have their partitions", () -> {
				a.poll(Duration.ofMillis(50));
				b.poll(Duration.ofMillis(50));
				c.poll(Duration.ofMillis(50));
				return a.assignment().size() == 2 && b.assignment().size() == 2 && shareMember(share) == 2;
			});
			a.commitSync(Map.of(first, new OffsetAndMetadata(1), second, new OffsetAndMetadata(2)));
			b.commitSync(Map.of(first, new OffsetAndMetadata(3)));
			describeClassic(classic);
			describeConsumer(modern);
			describeShare(share);
			list(classic, modern, share);
			offsetsOfMembers(modern, share);
		}
		leftBehind(classic, modern);
		emptyShare(share);
		streams(topic + "-streams");
		admin.close();
		System.out.println("DONE");
	}

	static KafkaConsumer<String, String> consumer(String group, String protocol) {
		Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", address, "group.id", group,
				"group.protocol", protocol, "enable.auto.commit", "false", "auto.offset.reset", "earliest"));
		if (protocol.equals("classic"))
			config.put("group.instance.id", "static");
		var c = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
		c.subscribe(List.of(topic));
		return c;
	}

	static KafkaShareConsumer<String, String> shareConsumer(String group) throws Exception {
		set(group, "share.auto.offset.reset", "earliest");
		var c = new KafkaShareConsumer<>(Map.of("bootstrap.servers", address, "group.id", group),
				new StringDeserializer(), new StringDeserializer());
		c.subscribe(List.of(topic));
		return c;
	}

	static void set(String group, String name, String value) throws Exception {
		admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group),
				List.of(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)))).all().get();
	}

	/** How many partitions the one member of a share group has. */
	static int shareMember(String group) {
		try {
			var members = admin.describeShareGroups(List.of(group)).all().get().get(group).members();
			return members.isEmpty() ? 0 : members.iterator().next().assignment().topicPartitions().size();
		} catch (Exception e) {
			return 0;
		}
	}

	static void describeClassic(String group) throws Exception {
		var d = admin.describeClassicGroups(List.of(group)).all().get().get(group);
		equal("a classic group", "consumer range 1 false", d.protocol() + " " + d.protocolData() + " "
				+ d.members().size() + " " + d.isSimpleConsumerGroup());
		equal("its state", ClassicGroupState.STABLE, d.state());
		var asConsumer = admin.describeConsumerGroups(List.of(group), new DescribeConsumerGroupsOptions()
				.includeAuthorizedOperations(true)).all().get().get(group);
		equal("its type", GroupType.CLASSIC, asConsumer.type());
		equal("its epochs", Optional.empty(), asConsumer.groupEpoch());
		equal("its member's instance ID", Optional.of("static"), asConsumer.members().iterator().next().groupInstanceId());
		equal("its operations", Set.of(AclOperation.DELETE, AclOperation.DESCRIBE, AclOperation.READ,
				AclOperation.DESCRIBE_CONFIGS,
				AclOperation.ALTER_CONFIGS), asConsumer.authorizedOperations());
		fails("an unknown classic group", GroupIdNotFoundException.class,
				admin.describeClassicGroups(List.of("nosuch")).all());
	}

	static void describeConsumer(String group) throws Exception {
		var d = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
		equal("a consumer group", "Consumer Stable uniform", d.type() + " " + d.groupState() + " " + d.partitionAssignor());
		var m = d.members().iterator().next();
		equal("its member's partitions", Set.of(first, second), m.assignment().topicPartitions());
		equal("its member's target", Set.of(first, second), m.targetAssignment().get().topicPartitions());
		equal("its epochs", m.memberEpoch(), d.groupEpoch());
		equal("its assignment's epoch", d.groupEpoch(), d.targetAssignmentEpoch());
		fails("an unknown consumer group", GroupIdNotFoundException.class,
				admin.describeConsumerGroups(List.of("nosuch")).all());
	}

	static void describeShare(String group) throws Exception {
		var d = admin.describeShareGroups(List.of(group)).all().get().get(group);
		equal("a share group", GroupState.STABLE, d.groupState());
		equal("its epochs", d.groupEpoch(), d.targetAssignmentEpoch());
		var m = d.members().iterator().next();
		equal("its member's epoch", d.groupEpoch(), m.memberEpoch());
		equal("its member's partitions", Set.of(first, second), m.assignment().topicPartitions());
		fails("an unknown share group", GroupIdNotFoundException.class, admin.describeShareGroups(List.of("nosuch")).all());
		fails("a share group is no consumer group", GroupIdNotFoundException.class,
				admin.describeConsumerGroups(List.of(group)).all());
	}

	static void list(String classic, String modern, String share) throws Exception {
		String simple = topic + "-simple";
		admin.alterConsumerGroupOffsets(simple, Map.of(first,
				new OffsetAndMetadata(4, Optional.of(0), "text"))).all().get();
		equal("all groups", Set.of(classic + " Classic consumer Stable", modern + " Consumer consumer Stable",
				share + " Share share Stable", simple + " Classic  Empty"), listed(new ListGroupsOptions()));
		for (GroupType type : List.of(GroupType.CLASSIC, GroupType.CONSUMER, GroupType.SHARE, GroupType.STREAMS))
			equal("groups of type " + type, switch (type) {
				case CLASSIC -> Set.of(classic + " Classic consumer Stable", simple + " Classic  Empty");
				case CONSUMER -> Set.of(modern + " Consumer consumer Stable");
				case SHARE -> Set.of(share + " Share share Stable");
				default -> Set.of();
			}, listed(new ListGroupsOptions().withTypes(Set.of(type))));
		equal("groups of protocol share", Set.of(share + " Share share Stable"),
				listed(new ListGroupsOptions().withProtocolTypes(Set.of("share"))));
		equal("groups without a protocol", Set.of(simple + " Classic  Empty"),
				listed(new ListGroupsOptions().withProtocolTypes(Set.of(""))));
		equal("empty groups", Set.of(simple + " Classic  Empty"),
				listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))));
		equal("stable groups of two types", Set.of(modern + " Consumer consumer Stable", share + " Share share Stable"),
				listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))
						.withTypes(Set.of(GroupType.CONSUMER, GroupType.SHARE))));
		equal("groups of consumers", 3, listed(ListGroupsOptions.forConsumerGroups()).size());
		equal("share groups", 1, listed(ListGroupsOptions.forShareGroups()).size());
		equal("streams groups", 0, listed(ListGroupsOptions.forStreamsGroups()).size());
	}

	/** The groups of this run. */
	static Set<String> listed(ListGroupsOptions options) throws Exception {
		return admin.listGroups(options).all().get().stream().filter(g -> g.groupId().startsWith(topic))
				.map(g -> g.groupId() + " " + g.type().get() + " " + g.protocol() + " " + g.groupState().get())
				.collect(Collectors.toCollection(TreeSet::new));
	}

	/** Offsets of groups whose members use them. */
	static void offsetsOfMembers(String modern, String share) throws Exception {
		fails("offsets of a subscribed topic are not deleted", GroupSubscribedToTopicException.class,
				admin.deleteConsumerGroupOffsets(modern, Set.of(first)).partitionResult(first));
		fails("nor altered", UnknownMemberIdException.class,
				admin.alterConsumerGroupOffsets(modern, Map.of(first, new OffsetAndMetadata(1))).all());
		fails("a group with members is not deleted", GroupNotEmptyException.class,
				admin.deleteConsumerGroups(List.of(modern)).all());
		fails("start offsets of a share group with members are not altered", GroupNotEmptyException.class,
				admin.alterShareGroupOffsets(share, Map.of(first, 1L)).all());
		fails("nor deleted", GroupNotEmptyException.class, admin.deleteShareGroupOffsets(share, Set.of(topic)).all());
		fails("nor the share group", GroupNotEmptyException.class, admin.deleteShareGroups(List.of(share)).all());
	}

	/** Groups without members. The static member of the classic group has left nothing but its place. */
	static void leftBehind(String classic, String modern) throws Exception {
		equal("a static member stays", 1,
				admin.describeClassicGroups(List.of(classic)).all().get().get(classic).members().size());
		admin.removeMembersFromConsumerGroup(classic,
				new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("static")))).all().get();
		equal("until it is removed", ClassicGroupState.EMPTY,
				admin.describeClassicGroups(List.of(classic)).all().get().get(classic).state());
		equal("the consumer group is empty", GroupState.EMPTY,
				admin.describeConsumerGroups(List.of(modern)).all().get().get(modern).groupState());
		var spec = Map.of(classic, new ListConsumerGroupOffsetsSpec(), modern,
				new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(first, second)));
		var offsets = admin.listConsumerGroupOffsets(spec,
				new ListConsumerGroupOffsetsOptions().requireStable(true)).all().get();
		equal("all offsets of one group", Map.of(first, 1L, second, 2L), numbers(offsets.get(classic)));
		equal("asked offsets of another", 3L, offsets.get(modern).get(first).offset());
		equal("of which one is not there", null, offsets.get(modern).get(second));
		admin.alterConsumerGroupOffsets(modern, Map.of(second,
				new OffsetAndMetadata(4, Optional.of(0), "text"))).all().get();
		equal("an altered offset", new OffsetAndMetadata(4, Optional.of(0), "text"),
				admin.listConsumerGroupOffsets(modern).partitionsToOffsetAndMetadata().get().get(second));
		var unknown = new TopicPartition(topic, 9);
		var deleted = admin.deleteConsumerGroupOffsets(classic, Set.of(first, unknown));
		deleted.partitionResult(first).get();
		fails("an offset of an unknown partition", UnknownTopicOrPartitionException.class,
				deleted.partitionResult(unknown));
		equal("what a deletion leaves", Map.of(second, 2L),
				numbers(admin.listConsumerGroupOffsets(classic).partitionsToOffsetAndMetadata().get()));
		fails("offsets of an unknown group", GroupIdNotFoundException.class,
				admin.deleteConsumerGroupOffsets("nosuch", Set.of(first)).all());
		admin.deleteConsumerGroups(List.of(classic, modern, topic + "-simple")).all().get();
		fails("a deleted group is deleted", GroupIdNotFoundException.class,
				admin.deleteConsumerGroups(List.of(classic)).all());
	}

	static Map<TopicPartition, Long> numbers(Map<TopicPartition, OffsetAndMetadata> offsets) {
		return offsets.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, e -> e.getValue().offset()));
	}

	static void emptyShare(String group) throws Exception {
		equal("the share group is empty", GroupState.EMPTY,
				admin.describeShareGroups(List.of(group)).all().get().get(group).groupState());
		var altered = admin.alterShareGroupOffsets(group, Map.of(first, 2L, new TopicPartition(topic, 9), 1L));
		altered.partitionResult(first).get();
		fails("a start offset of an unknown partition", UnknownTopicOrPartitionException.class,
				altered.partitionResult(new TopicPartition(topic, 9)));
		var offset = shareOffsets(group).get(first);
		equal("an altered start offset", "2 lag 3", offset.startOffset() + " lag " + offset.lag().orElse(-1L));
		admin.deleteShareGroupOffsets(group, Set.of(topic)).all().get();
		equal("start offsets after their deletion", null, shareOffsets(group).get(first));
		fails("they are deleted once", UnknownTopicOrPartitionException.class,
				admin.deleteShareGroupOffsets(group, Set.of(topic)).topicResult(topic));
		fails("those of an unknown group", GroupIdNotFoundException.class,
				admin.deleteShareGroupOffsets("nosuch", Set.of(topic)).all());
		admin.deleteShareGroups(List.of(group)).all().get();
		fails("a deleted share group", GroupIdNotFoundException.class, admin.describeShareGroups(List.of(group)).all());
	}

	static Map<TopicPartition, SharePartitionOffsetInfo> shareOffsets(String group) throws Exception {
		return admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec().topicPartitions(List.of(first))))
				.partitionsToOffsetInfo(group).get();
	}

	static void streams(String group) throws Exception {
		fails("an unknown streams group", GroupIdNotFoundException.class,
				admin.describeStreamsGroups(List.of(group)).all());
		var builder = new StreamsBuilder();
		builder.stream(topic + "-in").foreach((k, v) -> { });
		Properties config = new Properties();
		config.putAll(Map.of("application.id", group, "bootstrap.servers", address, "group.protocol", "streams",
				"state.dir", System.getProperty("java.io.tmpdir") + "/" + group,
				"default.key.serde", "org.apache.kafka.common.serialization.Serdes$StringSerde",
				"default.value.serde", "org.apache.kafka.common.serialization.Serdes$StringSerde"));
		try (var app = new KafkaStreams(builder.build(), config)) {
			app.start();
			until("a streams group is stable", () -> {
				try {
					var d = admin.describeStreamsGroups(List.of(group)).all().get().get(group);
					return d.groupState() == GroupState.STABLE && d.members().size() == 1
							&& d.members().iterator().next().assignment().activeTasks().size() == 1;
				} catch (Exception e) {
					return false;
				}
			});
			var d = admin.describeStreamsGroups(List.of(group)).all().get().get(group);
			equal("its subtopologies", List.of(List.of(topic + "-in")),
					d.subtopologies().stream().map(s -> s.sourceTopics()).toList());
			equal("its epochs", d.groupEpoch(), d.targetAssignmentEpoch());
			equal("streams groups in a list", Set.of(group + " Streams streams Stable"),
					listed(ListGroupsOptions.forStreamsGroups()));
			fails("a streams group with members is not deleted", GroupNotEmptyException.class,
					admin.deleteStreamsGroups(List.of(group)).all());
		}
		until("the streams group is empty", () -> {
			try {
				return admin.describeStreamsGroups(List.of(group)).all().get().get(group).groupState() == GroupState.EMPTY;
			} catch (Exception e) {
				return false;
			}
		});
		var in = new TopicPartition(topic + "-in", 0);
		admin.alterStreamsGroupOffsets(group, Map.of(in, new OffsetAndMetadata(0, Optional.empty(), ""))).all().get();
		equal("offsets of a streams group", Map.of(in, 0L),
				numbers(admin.listStreamsGroupOffsets(Map.of(group,
						new ListStreamsGroupOffsetsSpec())).partitionsToOffsetAndMetadata(group).get()));
		admin.deleteStreamsGroupOffsets(group, Set.of(in)).all().get();
		admin.deleteStreamsGroups(List.of(group)).all().get();
		equal("all groups are deleted", Set.of(), listed(new ListGroupsOptions()));
	}

	static void until(String what, BooleanSupplier done) {
		long end = System.nanoTime() + 60_000_000_000L;
		while (!done.getAsBoolean())
			if (System.nanoTime() > end)
				throw new AssertionError("not within 60 s: " + what);
		System.out.println(what);
	}

	static void equal(String what, Object want, Object got) {
		if (want == null ? got != null : !want.equals(got))
			throw new AssertionError(what + ": " + got + ", want " + want);
		System.out.println(what);
	}

	static void fails(String what, Class<? extends Exception> want, Future<?> got) throws Exception {
		try {
			throw new AssertionError(what + ": " + got.get() + ", want " + want);
		} catch (ExecutionException e) {
			if (!want.isInstance(e.getCause()))
				throw new AssertionError(what + ": " + e.getCause() + ", want " + want);
		}
		System.out.println(what);
	}
}
