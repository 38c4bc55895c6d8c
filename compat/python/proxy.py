"""A TCP proxy between one client and one broker that understands Kafka's frames.

It lets a check say "the answer to the third Produce is lost", which is how a real network fails
and what the protocol's retries exist for. The client stays as it is: it only gets the proxy's
address to bootstrap from, and the proxy writes its own address over the broker's in every answer
that names one (Metadata, FindCoordinator, DescribeCluster, the NodeEndpoints of Produce and Fetch),
so the client never learns of a way around it.

Each connection has two pump threads; all of them end when close() closes their sockets. An answer
the proxy cannot rewrite without loss is an error: it ends the connection and fails the check that
owns the proxy (see close).
"""

import socket
import struct
import threading
from dataclasses import dataclass, field

from kafka.protocol.admin.cluster import DescribeClusterResponse
from kafka.protocol.consumer.fetch import FetchResponse
from kafka.protocol.metadata import FindCoordinatorResponse, MetadataResponse
from kafka.protocol.producer import EndTxnResponse, ProduceResponse

PRODUCE, FETCH, METADATA, FIND_COORDINATOR = 0, 1, 3, 10
API_VERSIONS, INIT_PRODUCER_ID = 18, 22
ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT = 24, 25, 26, 28
DESCRIBE_CLUSTER = 60

# What a producer sends to the coordinator of its transactional ID.
TO_COORDINATOR = (INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN)
CLOSED_WITHIN_S = 5  # how much later than a new connection the end of the last one may be noticed

RESPONSES = {
    PRODUCE: ProduceResponse,
    FETCH: FetchResponse,
    METADATA: MetadataResponse,
    FIND_COORDINATOR: FindCoordinatorResponse,
    END_TXN: EndTxnResponse,
    DESCRIBE_CLUSTER: DescribeClusterResponse,
}

# First versions whose answers carry NodeEndpoints (KIP-951).
NODE_ENDPOINTS_SINCE = {PRODUCE: 10, FETCH: 16}


@dataclass
class Rule:
    """What to do with some requests of one API, or with the answers to them.

    nth counts the requests (or answers) that the rule looks at, from 1; match further narrows
    answers by their decoded form. fired says how often the rule has acted. outcome is what the broker
    did with a request that came late: "answered" or "closed".
    """

    api: int
    action: str  # "swallow" and "hold" act on answers, "cut" and "delay" on requests
    nth: frozenset
    match: object = None
    until: int = -1
    outcome: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    seen: int = 0
    fired: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    _let_go: threading.Event = field(default_factory=threading.Event)
    _deliver: bool = False

    def release(self):
        """Deliver the held answer."""
        self._deliver = True
        self._let_go.set()

    def drop(self):
        """Lose the held answer together with its connection."""
        self._let_go.set()


class Connection:
    """One connection of the client; software is the name that it has given itself in ApiVersions."""

    def __init__(self):
        self.software = None
        self.pending = {}  # correlation id -> (api, version)
        self.ended = threading.Event()
        self.delayed = None  # the rule and the request that waits


class Proxy:
    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.errors = []
        self.versions = {}  # API key -> versions the client used
        self.to_coordinator = []  # connections with requests of TO_COORDINATOR, in the order of the first one
        self.one_at_a_time = False  # whether each of them must have ended before the next one is used
        self._lock = threading.Lock()
        self._rules = []
        self._sockets = set()
        self._threads = []
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.address = "%s:%d" % (self.host, self.port)
        self._spawn(self._accept)

    # --- what a check says ---

    def swallow(self, api, nth):
        """The nth answers of this API (a number or several) are lost and the connection with them."""
        return self._add(Rule(api, "swallow", _ordinals(nth)))

    def cut(self, api, nth):
        """The nth requests of this API never reach the broker; the connection is lost."""
        return self._add(Rule(api, "cut", _ordinals(nth)))

    def hold(self, api, nth=1, match=None):
        """The nth (matching) answer waits in the proxy until the rule's release or drop."""
        return self._add(Rule(api, "hold", _ordinals(nth), match))

    def delay(self, api, nth, until):
        """The nth request reaches the broker late: the client loses the connection, and the request arrives when the
        broker has answered a request of the API until, over another one. That answer waits for what the broker does."""
        rule = self._add(Rule(api, "delay", _ordinals(nth)))
        rule.until = until
        return rule

    def close(self):
        """Close everything, wait for the threads, and raise what went wrong inside."""
        with self._lock:
            self._closed = True
            sockets = list(self._sockets)
            rules = list(self._rules)
        for rule in rules:
            rule.drop()
        _shut(self._listener)
        for s in sockets:
            _shut(s)
        for t in self._threads:
            t.join(10)
        if self.errors:
            raise AssertionError("the proxy could not do its work: %s" % self.errors)

    # --- plumbing ---

    def _add(self, rule):
        with self._lock:
            self._rules.append(rule)
        return rule

    def _spawn(self, target, *args):
        t = threading.Thread(target=target, args=args, daemon=True)
        with self._lock:
            self._threads.append(t)
        t.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(self.target, timeout=5)
            except OSError:  # the broker is down: the client sees a refused connection's cousin
                _shut(client)
                continue
            for s in (client, broker):
                s.settimeout(None)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._closed:
                    _shut(client), _shut(broker)
                    return
                self._sockets |= {client, broker}
            connection = Connection()
            self._spawn(self._pump, self._requests, client, broker, connection)
            self._spawn(self._pump, self._answers, broker, client, connection)

    def _pump(self, step, source, sink, connection):
        try:
            while (frame := _read_frame(source)) is not None:
                out = step(frame, connection)
                if out is None:
                    break
                if out:
                    _send_frame(sink, out)
            if step == self._requests and connection.delayed:
                _shut(source)
                connection.ended.set()
                _deliver_late(*connection.delayed, sink)
        except OSError:
            pass  # one side went away: so does the other
        except Exception as e:  # a frame we do not understand must not pass unnoticed
            self.errors.append(repr(e))
        finally:
            if step == self._requests:
                connection.ended.set()
            elif connection.delayed:
                _note_outcome(connection.delayed[0], "closed")
            _shut(source), _shut(sink)
            with self._lock:
                self._sockets -= {source, sink}

    def _requests(self, frame, connection):
        api, version, correlation_id = struct.unpack_from(">hhi", frame)
        with self._lock:
            self.versions.setdefault(api, set()).add(version)
        if api == API_VERSIONS and version >= 3:
            connection.software = _software_name(frame)
        if api in TO_COORDINATOR:
            self._use_coordinator(connection)
        rule = self._firing(api, ("cut", "delay"))
        if rule is not None and rule.action == "cut":
            return None
        connection.pending[correlation_id] = (api, version)
        if rule is not None:
            connection.delayed = rule, frame
            rule.reached.set()
            return None
        return frame

    def _use_coordinator(self, connection):
        with self._lock:
            if connection not in self.to_coordinator:
                self.to_coordinator.append(connection)
            others = [c for c in self.to_coordinator if c is not connection]
        if self.one_at_a_time and not all(c.ended.wait(CLOSED_WITHIN_S) for c in others):
            self.errors.append("the client uses two connections to the coordinator at a time")

    def _release_late(self, api):
        """Let requests that waited for this answer go, and wait for what the broker does with them."""
        with self._lock:
            rules = [r for r in self._rules if r.until == api and r.reached.is_set() and not r.done.is_set()]
        for rule in rules:
            rule.release()
            if not rule.done.wait(CLOSED_WITHIN_S):
                self.errors.append("the broker neither answers a late request nor closes its connection")

    def _answers(self, frame, connection):
        api, version = connection.pending.pop(struct.unpack_from(">i", frame)[0])
        if connection.delayed:
            if api == connection.delayed[0].api:
                _note_outcome(connection.delayed[0], "answered")
            return b""  # the client has lost this connection
        self._release_late(api)
        rule = self._firing(api, ("swallow", "hold"), lambda: _decode(api, version, frame))
        if rule is not None and rule.action == "swallow":
            return None
        if rule is not None and rule.action == "hold":
            rule.reached.set()
            rule._let_go.wait()
            if not rule._deliver:
                return None
        return self._readdress(api, version, frame)

    def _firing(self, api, actions, decode=None):
        with self._lock:
            for rule in self._rules:
                if rule.api != api or rule.action not in actions:
                    continue
                if rule.match is not None and not rule.match(decode()):
                    continue
                rule.seen += 1
                if rule.seen in rule.nth:
                    rule.fired += 1
                    return rule
        return None

    def _readdress(self, api, version, frame):
        """The same answer with the proxy's address in place of the broker's."""
        if api in NODE_ENDPOINTS_SINCE:
            if version < NODE_ENDPOINTS_SINCE[api]:
                return frame
            answer = _decode(api, version, frame)
            nodes = answer.node_endpoints
        elif api in (METADATA, DESCRIBE_CLUSTER):
            answer = _decode(api, version, frame)
            nodes = answer.brokers
        elif api == FIND_COORDINATOR:
            answer = _decode(api, version, frame)
            nodes = [answer] if version < 4 else answer.coordinators
        else:
            return frame
        if not nodes:
            return frame
        head = frame[:_header_size(api, version)]
        if head + answer.encode() != frame:
            raise ValueError("API %d v%d does not survive decoding and encoding" % (api, version))
        for node in nodes:
            if node.port == self.target[1]:
                node.host, node.port = self.host, self.port
            elif node.port not in (-1, 0):  # -1 and 0: no node, beside an error
                raise ValueError("API %d v%d names an unknown node %s:%d" % (api, version, node.host, node.port))
        return head + answer.encode()


def _deliver_late(rule, frame, broker):
    """Send a request whose client has lost the connection."""
    rule._let_go.wait()
    if rule._deliver:
        _send_frame(broker, frame)
        rule.done.wait(CLOSED_WITHIN_S)


def _note_outcome(rule, outcome):
    if not rule.done.is_set():
        rule.outcome = outcome
        rule.done.set()


def _software_name(frame):
    """The client's name in a request ApiVersions v3 and above, behind a header with an empty tag buffer."""
    (client_id_size,) = struct.unpack_from(">h", frame, 8)
    start = 10 + max(client_id_size, 0) + 1
    return bytes(frame[start + 1:start + frame[start]]).decode()  # a compact string: its size plus one, then its bytes


def _decode(api, version, frame):
    return RESPONSES[api].decode(bytes(frame[_header_size(api, version):]), version=version)


def _header_size(api, version):
    """The correlation id and, in a flexible version, an (empty) count of tagged fields."""
    return 5 if RESPONSES[api].flexible_version_q(version) else 4


def _ordinals(nth):
    return frozenset([nth] if isinstance(nth, int) else nth)


def _read_exactly(s, n):
    parts = bytearray()
    while len(parts) < n:
        part = s.recv(min(n - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return parts


def _send_frame(s, frame):
    s.sendall(struct.pack(">i", len(frame)) + frame)


def _read_frame(s):
    head = _read_exactly(s, 4)
    return None if head is None else _read_exactly(s, struct.unpack(">i", head)[0])


def _shut(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()
