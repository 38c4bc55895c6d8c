"""The ways to start a broker with Testcontainers for Python. Other containers of the network reach it as alias:9092."""

import json
import urllib.request

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
    """Without the module. The broker is told its address when the engine has chosen the port."""
    container = (
        DockerContainer(image)
        .with_network(network)
        .with_network_aliases(alias)
        .with_exposed_ports(9092, 9644)
        .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    )
    return container, lambda: advertise(container)


def advertise(container):
    """Makes the broker tell clients on the host the address that they reach it by, and returns that."""
    host = container.get_container_host_ip()
    address = f"{host}:{container.get_exposed_port(9092)}"
    request = urllib.request.Request(
        f"http://{host}:{container.get_exposed_port(9644)}/v1/advertised",
        method="PUT",
        headers={"Content-Type": "application/json"},
        data=json.dumps({"address": address}).encode(),
    )
    urllib.request.urlopen(request, timeout=10).close()
    return address


WAYS = {"module, ZooKeeper": zookeeper, "module, KRaft": kraft, "DockerContainer": generic}
