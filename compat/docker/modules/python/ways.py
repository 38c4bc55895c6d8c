"""The ways to start a broker with Testcontainers for Python. Other containers of the network reach it as alias:9092."""

import socket

from testcontainers.community.kafka import KafkaContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy


def zookeeper(image, network, alias):
    """As the module does when it is told nothing but the image's name."""
    container = KafkaContainer(image).with_network(network).with_network_aliases(alias)
    return container, container.get_bootstrap_server


def kraft(image, network, alias):
    container = KafkaContainer(image).with_kraft().with_network(network).with_network_aliases(alias)
    return container, container.get_bootstrap_server


def generic(image, network, alias):
    """Without the module. The broker is told which port of the host it has."""
    port = free_port()
    container = (
        DockerContainer(image)
        .with_network(network)
        .with_network_aliases(alias)
        .with_bind_ports(9092, port)
        .with_env("ONCE_PORT", port)
        .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    )
    return container, lambda: f"{container.get_container_host_ip()}:{container.get_exposed_port(9092)}"


def free_port():
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        return s.getsockname()[1]


WAYS = {"module, ZooKeeper": zookeeper, "module, KRaft": kraft, "DockerContainer": generic}
