import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnsupportedByAuthenticationException;
import org.apache.kafka.common.errors.InvalidUpdateVersionException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.ResourceNotFoundException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Kafka's Admin client asks about the cluster, topics and transactions what no command-line tool asks, and each answer is
 * looked at. Prints what it has shown, and DONE at the end.
 *
 *   java AdminCluster.java BROKER NAME
 */
class AdminCluster {
	static String address, topic;
	static Admin admin;
	static TopicPartition partition;

	public static void main(String[] args) throws Exception {
		address = args[0];
		topic = args[1];
		partition = new TopicPartition(topic, 0);
		admin = Admin.create(Map.of("bootstrap.servers", address));
		admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
		topicsById();
		offsets();
		features();
		configResources();
		reassignments();
		quotas();
		credentials();
		disabled();
		fenced();
		transactions();
		aborted();
		terminated();
		admin.close();
		System.out.println("DONE");
	}

	static void topicsById() throws Exception {
		Uuid id = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId();
		var described = admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id);
		equal("a topic by its ID", topic + " 1", described.name() + " " + described.partitions().size());
		fails("an unknown topic ID", UnknownTopicIdException.class,
				admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds());
		fails("an unknown topic", UnknownTopicOrPartitionException.class,
				admin.describeTopics(List.of("nosuch")).allTopicNames());
	}

	static KafkaProducer<String, String> producer(String transactionalId) {
		Map<String, Object> config = transactionalId == null ? Map.of("bootstrap.servers", address)
				: Map.of("bootstrap.servers", address, "transactional.id", transactionalId);
		var p = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
		if (transactionalId != null)
			p.initTransactions();
		return p;
	}

	static void offsets() throws Exception {
		try (var p = producer(null)) {
			for (long time : new long[] {1000, 3000, 2000})
				p.send(new ProducerRecord<>(topic, 0, time, null, "" + time)).get();
		}
		try (var p = producer(topic + "-offsets")) {
			p.beginTransaction();
			p.send(new ProducerRecord<>(topic, 0, 4000L, null, "open")).get();
			equal("the earliest offset", "0 -1", at(OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED));
			equal("the latest offset", "4 -1", at(OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED));
			equal("the last stable offset", "3 -1", at(OffsetSpec.latest(), IsolationLevel.READ_COMMITTED));
			equal("an offset by time", "1 3000", at(OffsetSpec.forTimestamp(1500), IsolationLevel.READ_UNCOMMITTED));
			equal("a time after all", "-1 -1", at(OffsetSpec.forTimestamp(5000), IsolationLevel.READ_UNCOMMITTED));
			equal("the highest time", "3 4000", at(OffsetSpec.maxTimestamp(), IsolationLevel.READ_UNCOMMITTED));
			equal("the earliest local offset", "0 -1", at(OffsetSpec.earliestLocal(), IsolationLevel.READ_UNCOMMITTED));
			equal("the latest offset in another tier", "-1 -1",
					at(OffsetSpec.latestTiered(), IsolationLevel.READ_UNCOMMITTED));
			equal("the earliest offset to be copied there", "-1 -1",
					at(OffsetSpec.earliestPendingUpload(), IsolationLevel.READ_UNCOMMITTED));
			p.commitTransaction();
		}
	}

	static String at(OffsetSpec spec, IsolationLevel level) throws Exception {
		var o = admin.listOffsets(Map.of(partition, spec), new ListOffsetsOptions(level)).partitionResult(partition).get();
		return o.offset() + " " + o.timestamp();
	}

	static void features() throws Exception {
		var f = admin.describeFeatures().featureMetadata().get();
		for (String name : List.of("share.version", "transaction.version")) {
			equal("supported levels of " + name, "0 2",
					f.supportedFeatures().get(name).minVersion() + " " + f.supportedFeatures().get(name).maxVersion());
			equal("the level of " + name, (short) 2, f.finalizedFeatures().get(name).maxVersionLevel());
		}
		equal("an epoch of the levels", true, f.finalizedFeaturesEpoch().get() > 0);
		admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 1,
				FeatureUpdate.UpgradeType.SAFE_DOWNGRADE)),
				new UpdateFeaturesOptions().validateOnly(true)).all().get();
		fails("a level that is not supported", InvalidUpdateVersionException.class, admin.updateFeatures(
				Map.of("share.version", new FeatureUpdate((short) 3, FeatureUpdate.UpgradeType.UPGRADE)),
						new UpdateFeaturesOptions()).all());
		equal("what is tried only changes nothing", (short) 2,
				admin.describeFeatures().featureMetadata().get().finalizedFeatures().get("share.version")
						.maxVersionLevel());
	}

	static void configResources() throws Exception {
		var group = new ConfigResource(ConfigResource.Type.GROUP, topic + "-group");
		var metrics = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, topic + "-metrics");
		set(group, "share.isolation.level", "read_committed", AlterConfigOp.OpType.SET);
		set(metrics, "interval.ms", "1000", AlterConfigOp.OpType.SET);
		becomes("groups with settings", Set.of(group), () -> resources(Set.of(ConfigResource.Type.GROUP)));
		becomes("client metrics", Set.of(metrics), () -> resources(Set.of(ConfigResource.Type.CLIENT_METRICS)));
		becomes("topics", Set.of(new ConfigResource(ConfigResource.Type.TOPIC, topic)),
				() -> resources(Set.of(ConfigResource.Type.TOPIC)));
		becomes("of two types", Set.of(group, metrics), () -> resources(Set.of(ConfigResource.Type.GROUP,
				ConfigResource.Type.CLIENT_METRICS)));
		becomes("all", Set.of(group, metrics, new ConfigResource(ConfigResource.Type.TOPIC, topic)),
				() -> resources(Set.of()));
		becomes("brokers", 1, () -> admin.listConfigResources(Set.of(ConfigResource.Type.BROKER),
				new ListConfigResourcesOptions()).all().get().size());
		set(group, "share.isolation.level", "", AlterConfigOp.OpType.DELETE);
		set(metrics, "interval.ms", "", AlterConfigOp.OpType.DELETE);
		becomes("none is left", Set.of(),
				() -> resources(Set.of(ConfigResource.Type.GROUP, ConfigResource.Type.CLIENT_METRICS)));
	}

	static void set(ConfigResource of, String name, String value, AlterConfigOp.OpType op) throws Exception {
		admin.incrementalAlterConfigs(Map.of(of, List.of(new AlterConfigOp(new ConfigEntry(name, value), op)))).all().get();
	}

	/** The resources of this run. */
	static Set<ConfigResource> resources(Set<ConfigResource.Type> types) throws Exception {
		return admin.listConfigResources(types, new ListConfigResourcesOptions()).all().get().stream()
				.filter(r -> r.name().startsWith(topic)).collect(Collectors.toSet());
	}

	static void reassignments() throws Exception {
		equal("no reassignment is under way", Map.of(), admin.listPartitionReassignments().reassignments().get());
		equal("nor one of a partition", Map.of(),
				admin.listPartitionReassignments(Set.of(partition)).reassignments().get());
		fails("so none is cancelled", NoReassignmentInProgressException.class,
				admin.alterPartitionReassignments(Map.of(partition, Optional.empty())).all());
	}

	static void quotas() throws Exception {
		var user = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, topic));
		var both = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, topic, ClientQuotaEntity.CLIENT_ID, "c"));
		admin.alterClientQuotas(List.of(alteration(user, 1000.0), alteration(both, 2000.0))).all().get();
		var ofUser = ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, topic);
		becomes("quotas of a user, with and without clients", Map.of(user, Map.of("consumer_byte_rate", 1000.0), both,
				Map.of("consumer_byte_rate", 2000.0)),
				() -> admin.describeClientQuotas(ClientQuotaFilter.contains(List.of(ofUser))).entities().get());
		becomes("of the user alone", Set.of(user),
				() -> admin.describeClientQuotas(ClientQuotaFilter.containsOnly(List.of(ofUser))).entities().get()
						.keySet());
		becomes("of any client of the user", Set.of(both), () -> admin.describeClientQuotas(ClientQuotaFilter.contains(
				List.of(ofUser, ClientQuotaFilterComponent.ofEntityType(ClientQuotaEntity.CLIENT_ID)))).entities().get()
						.keySet());
		admin.alterClientQuotas(List.of(alteration(user, null), alteration(both, null))).all().get();
		becomes("none is left", Map.of(), () -> admin.describeClientQuotas(ClientQuotaFilter.contains(List.of(ofUser)))
				.entities().get());
	}

	static ClientQuotaAlteration alteration(ClientQuotaEntity entity, Double rate) {
		return new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("consumer_byte_rate", rate)));
	}

	static void credentials() throws Exception {
		var info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096);
		admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion(topic, info, "secret"))).all().get();
		becomes("the user among all", true, () -> admin.describeUserScramCredentials().users().get().contains(topic));
		becomes("the credentials of a user", List.of(info),
				() -> admin.describeUserScramCredentials(List.of(topic)).description(topic).get().credentialInfos());
		fails("an unknown user", ResourceNotFoundException.class,
				admin.describeUserScramCredentials(List.of("nosuch")).description("nosuch"));
		admin.alterUserScramCredentials(List.of(new UserScramCredentialDeletion(topic,
				ScramMechanism.SCRAM_SHA_512))).all().get();
		fails("credentials are deleted once", ResourceNotFoundException.class,
				admin.alterUserScramCredentials(List.of(new UserScramCredentialDeletion(topic,
						ScramMechanism.SCRAM_SHA_512))).all());
	}

	static void disabled() throws Exception {
		fails("delegation tokens on a plain connection", UnsupportedByAuthenticationException.class,
				admin.describeDelegationToken().delegationTokens());
		fails("ACLs without an authorizer", SecurityDisabledException.class,
				admin.describeAcls(AclBindingFilter.ANY).values());
	}

	static void fenced() throws Exception {
		String id = topic + "-fenced";
		try (var p = producer(id)) {
			p.beginTransaction();
			p.send(new ProducerRecord<>(topic, "fenced")).get();
			var result = admin.fenceProducers(List.of(id));
			equal("a producer is fenced with a new epoch", true,
					result.epochId(id).get() > 0 && result.producerId(id).get() >= 0);
			try {
				p.commitTransaction();
				throw new AssertionError("a fenced producer commits");
			} catch (ProducerFencedException e) {
				System.out.println("a fenced producer does not commit");
			}
		}
		equal("its transaction has ended", TransactionState.EMPTY, stateOf(id));
	}

	/** The state of a transaction, as soon as it has ended. */
	static TransactionState stateOf(String id) throws Exception {
		long end = System.nanoTime() + 30_000_000_000L;
		while (true) {
			var state = admin.describeTransactions(List.of(id)).description(id).get().state();
			if (state != TransactionState.PREPARE_ABORT && state != TransactionState.PREPARE_COMMIT || System.nanoTime() > end)
				return state;
		}
	}

	static void transactions() throws Exception {
		String id = topic + "-open";
		try (var p = producer(id)) {
			p.beginTransaction();
			p.send(new ProducerRecord<>(topic, "open")).get();
			var d = admin.describeTransactions(List.of(id)).description(id).get();
			equal("an open transaction", TransactionState.ONGOING, d.state());
			equal("its partitions", Set.of(partition), d.topicPartitions());
			equal("its begin is known", true, d.transactionStartTimeMs().isPresent());
			equal("its timeout", 60_000L, d.transactionTimeoutMs());
			equal("listed by state", Set.of(id),
					listed(new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING))));
			equal("by producer", Set.of(id),
					listed(new ListTransactionsOptions().filterProducerIds(Set.of(d.producerId()))));
			equal("not by another one", Set.of(),
					listed(new ListTransactionsOptions().filterProducerIds(Set.of(d.producerId() + 1_000_000))));
			equal("not as one that is a day old; an ID that never began one is", Set.of(topic + "-fenced"),
					listed(new ListTransactionsOptions().filterOnDuration(Duration.ofDays(1).toMillis())));
			equal("by pattern", Set.of(id),
					listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(topic + "-op.*")));
			equal("by pattern and state", Set.of(),
					listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(topic + "-op.*")
					.filterStates(Set.of(TransactionState.COMPLETE_COMMIT))));
			equal("all of this run", Set.of(id, topic + "-fenced", topic + "-offsets"),
					listed(new ListTransactionsOptions()));
			ProducerState s = open();
			equal("its producer in the partition", d.producerId() + " " + d.producerEpoch(),
					s.producerId() + " " + s.producerEpoch());
			p.abortTransaction();
			ended("no transaction is open");
		}
		fails("an unknown transactional ID", TransactionalIdNotFoundException.class,
				admin.describeTransactions(List.of("nosuch")).all());
	}

	/** The transactional IDs of this run. */
	static Set<String> listed(ListTransactionsOptions options) throws Exception {
		return admin.listTransactions(options).all().get().stream().map(t -> t.transactionalId())
				.filter(t -> t.startsWith(topic))
				.collect(Collectors.toSet());
	}

	/** The producer with an open transaction in the partition; null when there is none. */
	static ProducerState open() throws Exception {
		return admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().stream()
				.filter(s -> s.currentTransactionStartOffset().isPresent()).findFirst().orElse(null);
	}

	/** Kafka answers before the markers are written. */
	static void ended(String what) throws Exception {
		for (long end = System.nanoTime() + 30_000_000_000L; open() != null;)
			if (System.nanoTime() > end)
				throw new AssertionError("not within 30 s: " + what);
		System.out.println(what);
	}

	/** A marker by hand ends a transaction in one partition. */
	static void aborted() throws Exception {
		try (var p = producer(topic + "-aborted")) {
			p.beginTransaction();
			p.send(new ProducerRecord<>(topic, "aborted")).get();
			ProducerState s = open();
			admin.abortTransaction(new AbortTransactionSpec(partition, s.producerId(), (short) s.producerEpoch(),
					s.coordinatorEpoch().orElse(0))).all().get();
			ended("a marker ends the transaction in its partition");
			equal("readers go on", at(OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED),
					at(OffsetSpec.latest(), IsolationLevel.READ_COMMITTED));
			p.abortTransaction();
		}
	}

	/** The coordinator ends a transaction without its producer. */
	static void terminated() throws Exception {
		String id = topic + "-terminated";
		try (var p = producer(id)) {
			p.beginTransaction();
			p.send(new ProducerRecord<>(topic, "terminated")).get();
			admin.forceTerminateTransaction(id).result().get();
			equal("a terminated transaction", TransactionState.EMPTY, stateOf(id));
			ended("is open nowhere");
			try {
				p.commitTransaction();
				throw new AssertionError("the producer of a terminated transaction commits");
			} catch (ProducerFencedException e) {
				System.out.println("its producer is fenced");
			}
		}
	}

	/** Kafka's broker hears of changed metadata after the answer. */
	static void becomes(String what, Object want, Callable<Object> got) throws Exception {
		for (long end = System.nanoTime() + 30_000_000_000L; !want.equals(got.call()) && System.nanoTime() < end;)
			Thread.onSpinWait();
		equal(what, want, got.call());
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
