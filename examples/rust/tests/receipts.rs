use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use receipts::Receipts;
use testcontainers_modules::kafka::apache::{Kafka, KAFKA_PORT};
use testcontainers_modules::testcontainers::runners::SyncRunner;
use testcontainers_modules::testcontainers::{Container, ImageExt};

const LIMIT: Duration = Duration::from_secs(20);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Starts a broker for a test, and returns its address. Dropped, the container is removed.
fn start_broker() -> Outcome<(Container<Kafka>, String)> {
    let image = std::env::var("ONCE_IMAGE").unwrap_or("once:8.1.0".into());
    let (name, tag) = image.rsplit_once(':').ok_or("the image has no tag")?;
    let container = Kafka::default().with_name(name).with_tag(tag).start()?;
    let address = format!("127.0.0.1:{}", container.get_host_port_ipv4(KAFKA_PORT)?);
    Ok((container, address))
}

#[test]
fn each_payment_gets_one_receipt() -> Outcome<()> {
    let (_container, address) = start_broker()?;
    produce(&address, "payments", &["10", "20", "30"])?;

    let application = Receipts::open(&address, "receipts-1")?;
    let mut fails = true; // once, when receipts of the same transaction have been sent already
    let (mut done, end) = (0, Instant::now() + 3 * LIMIT);
    while done < 3 && Instant::now() < end {
        done += application.step(|payment| {
            if payment == "30" && std::mem::take(&mut fails) {
                return Err("the printer is out of paper".into());
            }
            Ok(format!("received {payment}"))
        })?;
    }
    assert!(!fails, "nothing has failed on the way");

    produce(&address, "receipts", &["end"])?;
    let receipts = read_until(&address, "receipts", "end")?;
    assert_eq!(
        receipts,
        ["received 10", "received 20", "received 30", "end"]
    );
    Ok(())
}

fn produce(address: &str, topic: &str, values: &[&str]) -> Outcome<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .create()?;
    for value in values {
        producer
            .send(BaseRecord::<str, str>::to(topic).payload(value))
            .map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(LIMIT)?)
}

/// Reads what is committed in a topic, from its beginning to the record with this value.
fn read_until(address: &str, topic: &str, last: &str) -> Outcome<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "test")
        .set("isolation.level", "read_committed")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;

    let (mut values, end) = (Vec::new(), Instant::now() + LIMIT);
    while !values.iter().any(|value| value == last) {
        if Instant::now() > end {
            return Err(format!("read {values:?}, and then nothing").into());
        }
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            let payload = message?.payload().unwrap_or_default().to_vec();
            values.push(String::from_utf8(payload)?);
        }
    }
    Ok(values)
}
