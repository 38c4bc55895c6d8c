"""Testcontainers for Python starts the image in ONCE_IMAGE: checks.py [EXPRESSION]. Prints a line for each check."""

import os
import re
import sys
import time
import traceback

from client import transact, values
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from ways import WAYS

IMAGE = os.environ["ONCE_IMAGE"]
EXPRESSION = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
passed = failed = 0


def neighbour(network, command):
    """Runs a shell command in another container of the network, and returns what it has printed."""
    with DockerContainer(IMAGE).with_network(network).with_command(["sh", "-c", command]) as container:
        container.get_wrapped_container().wait(timeout=30)
        return container.get_logs()[0].decode()


class Way:
    """Two brokers side by side, started in one way. Its methods are the checks, in this order."""

    def __init__(self, name, network):
        self.name, self.network, self.brokers = name, network, []

    def start(self, alias):
        began = time.monotonic()
        container, address = WAYS[self.name](IMAGE, self.network, alias)
        self.brokers.append(container)
        container.start()
        return address(), f", ready in {1000 * (time.monotonic() - began):.0f} ms"

    def starts(self):
        self.first, took = self.start("first")
        return took

    def a_second_one_beside_it(self):
        self.second, took = self.start("second")
        transact(self.first, "names", ["first"])
        transact(self.second, "names", ["second"])
        assert values(self.first, "names", 1) == ["first"]
        assert values(self.second, "names", 1) == ["second"]
        return took

    def transactions_from_the_host(self):
        transact(self.first, "orders", ["1", "2"])
        transact(self.first, "orders", ["3"], commit=False)
        transact(self.first, "orders", ["4"])
        assert values(self.first, "orders", 3) == ["1", "2", "4"]

    def another_container_by_the_alias(self):
        transact(self.first, "neighbours", ["from the host"])
        printed = neighbour(
            self.network,
            "echo from a neighbour | kafka-console-producer --bootstrap-server first:9092 --topic neighbours &&"
            " kafka-console-consumer --bootstrap-server first:9092 --topic neighbours --from-beginning --max-messages 2"
            " --timeout-ms 10000 --isolation-level read_committed",
        )
        assert "from the host\nfrom a neighbour\n" in printed, printed
        assert values(self.first, "neighbours", 2) == ["from the host", "from a neighbour"]

    def stops(self):
        while self.brokers:
            self.brokers.pop().stop()


STARTS = (Way.starts, Way.a_second_one_beside_it)


def run(way):
    global passed, failed
    checks = [f for f in vars(Way).values() if callable(f) and f.__name__[0] != "_" and f is not Way.start]
    wanted = [f for f in checks if EXPRESSION.search(title(way, f))]
    if not wanted:
        return
    # A start is needed, whatever is asked for.
    for check in [f for f in checks if f in wanted or f in STARTS]:
        try:
            print("ok", title(way, check) + (check(way) or ""), flush=True)
            passed += 1
        except Exception:
            traceback.print_exc()
            print("FAIL", title(way, check), flush=True)
            failed += 1
            if check in STARTS:
                return


def title(way, check):
    return f"python {way.name}: {check.__name__.replace('_', ' ')}"


for name in WAYS:
    with Network() as network:
        way = Way(name, network)
        try:
            run(way)
        finally:
            for container in way.brokers:
                container.stop()

print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
