//! The ways to start a broker with Testcontainers for Rust. Where they have a network, other containers of it reach the
//! broker by the container's name.

use std::net::TcpListener;

use testcontainers_modules::kafka::{apache, confluent};
use testcontainers_modules::testcontainers::core::{ContainerPort, ExecCommand, WaitFor};
use testcontainers_modules::testcontainers::runners::SyncRunner;
use testcontainers_modules::testcontainers::{
    Container, ContainerRequest, GenericImage, Image, ImageExt,
};

use crate::Outcome;

/// A broker that has been started. Dropped, it is removed.
pub struct Broker {
    container: Box<dyn Started>,
    /// For clients on the host.
    pub address: String,
    /// For tools in the broker's own container.
    pub inside: &'static str,
}

impl Broker {
    pub fn run(&self, command: &str) -> Outcome<String> {
        self.container.run(command)
    }

    pub fn stop(&self) -> Outcome<()> {
        self.container.stop()
    }
}

trait Started {
    fn run(&self, command: &str) -> Outcome<String>;
    fn stop(&self) -> Outcome<()>;
}

impl<I: Image> Started for Container<I> {
    fn run(&self, command: &str) -> Outcome<String> {
        let mut result = self.exec(ExecCommand::new(["sh", "-c", command]))?;
        Ok(String::from_utf8(result.stdout_to_vec()?)?)
    }

    fn stop(&self) -> Outcome<()> {
        Ok(Container::stop_with_timeout(self, Some(20))?)
    }
}

/// One way to start a broker, in this network and with this name of the container.
pub struct Way {
    pub name: &'static str,
    pub start: fn(network: &str, name: &str) -> Outcome<Broker>,
    /// Whether it tells other containers an address that they can reach.
    pub has_neighbours: bool,
}

pub static WAYS: [Way; 3] = [
    Way {
        name: "module, apache",
        start: start_apache,
        has_neighbours: false,
    },
    Way {
        name: "module, confluent",
        start: start_confluent,
        has_neighbours: false,
    },
    Way {
        name: "GenericImage",
        start: start_generic,
        has_neighbours: true,
    },
];

/// The repository and the tag of the image under test.
pub fn image() -> (String, String) {
    let image = std::env::var("ONCE_IMAGE").expect("ONCE_IMAGE has to name the image");
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    (name.to_owned(), tag.to_owned())
}

fn start_apache(network: &str, name: &str) -> Outcome<Broker> {
    start_module(
        apache::Kafka::default().into(),
        apache::KAFKA_PORT,
        "localhost:9093",
        network,
        name,
    )
}

fn start_confluent(network: &str, name: &str) -> Outcome<Broker> {
    start_module(
        confluent::Kafka::default().into(),
        confluent::KAFKA_PORT,
        "localhost:9092",
        network,
        name,
    )
}

/// Starts a broker as a module does when it is told nothing but the image's name.
fn start_module<I: Image + 'static>(
    module: ContainerRequest<I>,
    port: ContainerPort,
    inside: &'static str,
    network: &str,
    name: &str,
) -> Outcome<Broker> {
    let (image, tag) = image();
    let container = module
        .with_name(image)
        .with_tag(tag)
        .with_network(network)
        .with_container_name(name)
        .start()?;
    let address = format!("127.0.0.1:{}", container.get_host_port_ipv4(port)?);
    Ok(Broker {
        container: Box::new(container),
        address,
        inside,
    })
}

/// Starts a broker without a module. It is told which port of the host it has.
fn start_generic(network: &str, name: &str) -> Outcome<Broker> {
    let (image, tag) = image();
    let port = free_port()?;
    let container = GenericImage::new(image, tag)
        .with_wait_for(WaitFor::message_on_stdout("Kafka Server started"))
        .with_mapped_port(port, ContainerPort::Tcp(9092))
        .with_env_var("ONCE_PORT", port.to_string())
        .with_network(network)
        .with_container_name(name)
        .start()?;
    let address = format!("127.0.0.1:{port}");
    Ok(Broker {
        container: Box::new(container),
        address,
        inside: "localhost:9092",
    })
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("0.0.0.0:0")?.local_addr()?.port())
}

/// A container of the image that does nothing, in the network.
pub fn start_neighbour(network: &str) -> Outcome<Broker> {
    let (image, tag) = image();
    let container = GenericImage::new(image, tag)
        .with_cmd(["sleep", "60"])
        .with_network(network)
        .start()?;
    Ok(Broker {
        container: Box::new(container),
        address: String::new(),
        inside: "",
    })
}
