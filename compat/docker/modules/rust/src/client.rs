//! What a client on the host does, with rdkafka.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(20);

#[derive(PartialEq)]
pub enum End {
    Commit,
    Abort,
}

/// Sends records in one transaction, and commits or aborts it.
pub fn transact(address: &str, topic: &str, values: &[&str], end: End) -> Outcome<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("transactional.id", "modules")
        .create()?;
    producer.init_transactions(LIMIT)?;
    producer.begin_transaction()?;
    for value in values {
        let record = BaseRecord::<str, str>::to(topic).payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(LIMIT)?;
    match end {
        End::Commit => producer.commit_transaction(LIMIT)?,
        End::Abort => producer.abort_transaction(LIMIT)?,
    }
    Ok(())
}

/// Reads a topic from its beginning, read_committed, and expects these records first.
pub fn expect_values(address: &str, topic: &str, want: &[&str]) -> Outcome<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "modules")
        .set("isolation.level", "read_committed")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;

    let (mut got, end) = (Vec::new(), Instant::now() + LIMIT);
    while got.len() < want.len() && Instant::now() < end {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            let payload = message?.payload().unwrap_or_default().to_vec();
            got.push(String::from_utf8(payload)?);
        }
    }
    if got != want {
        return Err(format!("read {got:?}, want {want:?}").into());
    }
    Ok(())
}
