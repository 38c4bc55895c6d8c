//! An application that consumes, transforms and produces exactly once.

use std::error::Error;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset};

const LIMIT: Duration = Duration::from_secs(20);

/// Reads payments and writes a receipt for each. Only one producer with the transactional ID can commit.
pub struct Receipts {
    consumer: BaseConsumer,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Receipts {
    pub fn open(address: &str, transactional_id: &str) -> Result<Self, Box<dyn Error>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", address)
            .set("group.id", "receipts")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()?;
        consumer.subscribe(&["payments"])?;
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", address)
            .set("transactional.id", transactional_id)
            .create()?;
        producer.init_transactions(LIMIT)?;
        Ok(Receipts { consumer, producer })
    }

    /// Reads some payments and writes their receipts, in one transaction with the offsets of the payments. If `write`
    /// fails for one of them, the whole transaction is aborted, and the next step reads the same payments again.
    /// Returns how many it has committed.
    pub fn step(
        &self,
        write: impl FnMut(String) -> Result<String, Box<dyn Error>>,
    ) -> Result<usize, Box<dyn Error>> {
        let payments = self.read()?;
        if payments.is_empty() {
            return Ok(0);
        }
        let count = payments.len();
        self.producer.begin_transaction()?;
        if self.transform(payments, write).is_ok() {
            self.producer.commit_transaction(LIMIT)?;
            return Ok(count);
        }
        self.producer.abort_transaction(LIMIT)?;
        self.go_back()?;
        Ok(0)
    }

    fn transform(
        &self,
        payments: Vec<String>,
        mut write: impl FnMut(String) -> Result<String, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        for payment in payments {
            let receipt = write(payment)?;
            let record = BaseRecord::<str, str>::to("receipts").payload(&receipt);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        let group = self
            .consumer
            .group_metadata()
            .ok_or("the consumer has no group")?;
        self.producer
            .send_offsets_to_transaction(&self.consumer.position()?, &group, LIMIT)?;
        Ok(())
    }

    /// Returns what comes within a second: up to ten payments.
    fn read(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut payments = Vec::new();
        let mut patience = Duration::from_secs(1);
        while payments.len() < 10 {
            let Some(message) = self.consumer.poll(patience) else {
                break;
            };
            let payload = message?.payload().unwrap_or_default().to_vec();
            payments.push(String::from_utf8(payload)?);
            patience = Duration::from_millis(100);
        }
        Ok(payments)
    }

    /// Goes back to the committed offsets.
    fn go_back(&self) -> Result<(), Box<dyn Error>> {
        for partition in self.consumer.committed(LIMIT)?.elements() {
            let offset = match partition.offset() {
                Offset::Offset(offset) => Offset::Offset(offset),
                _ => Offset::Beginning, // none is committed yet
            };
            self.consumer
                .seek(partition.topic(), partition.partition(), offset, LIMIT)?;
        }
        Ok(())
    }
}
