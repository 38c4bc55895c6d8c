#!/usr/bin/env python3
"""Every command-line tool of Apache Kafka 4.4.0 against this broker, its output compared with what it prints against Kafka.

    run.py --jars DIR --broker BINARY      against a broker that is started for it; compares with expected.txt
    run.py --jars DIR --against HOST:PORT  against a broker that runs already: a new Apache Kafka
      --record                             and keeps what it prints as what is expected
      --table FILE                         and writes the table of tools
      -k EXPRESSION                        shows only commands that match; all of them run, since each builds on those before

conversation.txt has the commands. What differs from run to run is masked: addresses, IDs, times, rates and sizes. Ends with
"N passed, N failed".
"""

import argparse
import base64
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "python"))

P = "org.apache.kafka.tools."
# Class of each tool, and how it is told the broker.
TOOLS = {
    "kafka-topics": (P + "TopicCommand", "--bootstrap-server"),
    "kafka-console-producer": (P + "ConsoleProducer", "--bootstrap-server"),
    "kafka-console-consumer": (P + "consumer.ConsoleConsumer", "--bootstrap-server"),
    "kafka-console-share-consumer": (P + "consumer.ConsoleShareConsumer", "--bootstrap-server"),
    "kafka-get-offsets": (P + "GetOffsetShell", "--bootstrap-server"),
    "kafka-producer-perf-test": (P + "ProducerPerformance", None),
    "kafka-consumer-perf-test": (P + "ConsumerPerformance", "--bootstrap-server"),
    "kafka-e2e-latency": (P + "EndToEndLatency", None),
    "kafka-verifiable-producer": (P + "VerifiableProducer", "--bootstrap-server"),
    "kafka-verifiable-consumer": (P + "VerifiableConsumer", "--bootstrap-server"),
    "kafka-delete-records": (P + "DeleteRecordsCommand", "--bootstrap-server"),
    "kafka-configs": (P + "ConfigCommand", "--bootstrap-server"),
    "kafka-client-metrics": (P + "ClientMetricsCommand", "--bootstrap-server"),
    "kafka-consumer-groups": (P + "consumer.group.ConsumerGroupCommand", "--bootstrap-server"),
    "kafka-groups": (P + "GroupsCommand", "--bootstrap-server"),
    "kafka-share-groups": (P + "consumer.group.ShareGroupCommand", "--bootstrap-server"),
    "kafka-streams-groups": (P + "streams.StreamsGroupCommand", "--bootstrap-server"),
    "kafka-streams-application-reset": (P + "StreamsResetter", "--bootstrap-server"),
    "kafka-transactions": (P + "TransactionsCommand", "--bootstrap-server first"),
    "kafka-cluster": (P + "ClusterTool", "--bootstrap-server"),
    "kafka-broker-api-versions": (P + "BrokerApiVersionsCommand", "--bootstrap-server"),
    "kafka-features": (P + "FeatureCommand", "--bootstrap-server first"),
    "kafka-metadata-quorum": (P + "MetadataQuorumCommand", "--bootstrap-server first"),
    "kafka-log-dirs": (P + "LogDirsCommand", "--bootstrap-server"),
    "kafka-leader-election": (P + "LeaderElectionCommand", "--bootstrap-server"),
    "kafka-reassign-partitions": (P + "reassign.ReassignPartitionsCommand", "--bootstrap-server"),
    "kafka-acls": (P + "AclCommand", "--bootstrap-server"),
    "kafka-delegation-tokens": (P + "DelegationTokenCommand", "--bootstrap-server"),
}
# These close their clients when their process ends.
OWN_PROCESS = ("kafka-verifiable-producer", "kafka-verifiable-consumer")
# Options whose value is a file that holds what the conversation says.
FILES = ("--offset-json-file", "--topics-to-move-json-file", "--reassignment-json-file")

# What differs from run to run, in this order.
MASKS = [
    (r"(?m)^(\s*)(?:WARN|INFO|\[).*\n", ""),
    # What the broker says about an error is its own; what kind of error it is is not.
    (r"((?:\w+\.)+\w+Exception): .*", r"\1: TEXT"),
    (r"(Error while executing topic command : |failed for all features since the following feature had an error: ).*", r"\1TEXT"),
    (r"(Could not (?:upgrade|downgrade) \S+ to \d+\. ).*", r"\1TEXT"),
    (r"(Cluster ?I[dD]: +)\S+", r"\1ID"),
    (r"127\.0\.0\.1:\d+|localhost:\d+", "BROKER"),
    (r"127\.0\.0\.1 \d+", "127.0.0.1 PORT"),
    (r'"log_dirs":\["(?!any)[^"]*"\]', '"log_dirs":["DIR"]'),
    (r'"logDir":\s*"[^"]*"', '"logDir":"DIR"'),
    (r"\b(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[A-Za-z0-9_-]{22}(?![\w-])", "ID"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[:.,]\d+)?Z?", "TIME"),
    (r"\b1[789]\d{11}\b", "TIME"),
    (r"perf-consumer-\d+ *", "perf-consumer-N "),
    (r"console-consumer-\d+ *", "console-consumer-N "),
    (r"console-share-consumer-\d+ *", "console-share-consumer-N "),
    (r'"(totalBytes|usableBytes|size)":\s*-?\d+', r'"\1":N'),
    (r'"(avg_throughput|target_throughput)":-?[\d.]+', r'"\1":N'),
    (r'"timestamp":\d+', '"timestamp":TIME'),
    (r"(Epoch: |LeaderEpoch: +|HighWatermark: +)\d+", r"\1N"),
    (r"(Leader|Follower|Observer|)\t(\d+) +\t0  \tTIME", r"\1\tN\t0\tTIME"),
    (r"(\tID\t)\d+ +", r"\1N "),
    (r"(CompleteCommit +\t\d+ +\tTIME +\t)\d+ *", r"\1N"),
    (r"\b\d+(?:\.\d+)? (records/sec|MB/sec|ms)\b", r"N \1"),
    (r"\b\d+\.\d{2,}\b", "N"),
]


def commands(text):
    """The commands of the conversation: (line, tool, words, input lines, filter)."""
    out = []
    for line in text.splitlines():
        if line.startswith("$ "):
            line = line[2:]
            body, _, how = line.partition(" | ")
            json_at = body.find(" {")
            words = shlex.split(body if json_at < 0 else body[:json_at])
            if json_at >= 0:
                words.append(body[json_at + 1:])
            out.append([line, words[0], words[1:], [], how])
        elif line.startswith("< "):
            out[-1][3].append(line[2:])
    return out


def mask(text, how):
    text = text.replace("\r", "")
    for pattern, by in MASKS:
        text = re.sub(pattern, by, text)
    # A trace says where in the tool an error has come up: not what the user reads first.
    lines = [l.rstrip() for l in text.splitlines() if not re.match(r"\s+at |\s*\.\.\. \d+ more|Caused by: ", l)]
    lines = [l for l in lines if l]
    if how == "sort":
        lines.sort()
    if how == "count":
        lines = ["%d lines" % len(lines)]
    return "\n".join(lines)


class Runner:
    """One JVM that runs one tool after the other."""

    def __init__(self, jars, address, work):
        self.address, self.work, self.files = address, work, 0
        self.java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                     "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", os.path.join(jars, "*")]
        self.process = subprocess.Popen(self.java + [os.path.join(HERE, "Tools.java")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def arguments(self, tool, words):
        out, option = [], ""
        for word in words:
            if option in FILES:
                self.files += 1
                path = os.path.join(self.work, "file-%d.json" % self.files)
                with open(path, "w") as f:
                    f.write(word)
                word = path
            out.append(word.replace("BROKER", self.address))
            option = word
        told = TOOLS[tool][1]
        if told:
            name, _, first = told.partition(" ")
            out = [name, self.address] + out if first else out + [name, self.address]
        return out

    def run(self, tool, words, stdin):
        given = "".join(line + "\n" for line in stdin)
        if tool in OWN_PROCESS:
            done = subprocess.run(self.java + [TOOLS[tool][0]] + self.arguments(tool, words), input=given.encode(),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            return done.returncode, done.stdout.decode(errors="replace")
        parts = [TOOLS[tool][0], given] + self.arguments(tool, words)
        self.process.stdin.write(b" ".join(base64.b64encode(p.encode()) for p in parts) + b"\n")
        self.process.stdin.flush()
        code, _, said = self.process.stdout.readline().decode().strip().partition(" ")
        return int(code), base64.b64decode(said).decode(errors="replace").replace(self.work + "/", "")

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def read_expected(path):
    """What a file says: {command: [answer, …]} in the order of the commands."""
    answers = {}
    for part in re.split(r"(?m)^\$ ", open(path).read())[1:]:
        line, _, answer = part.partition("\n")
        answers.setdefault(line, []).append(answer.strip("\n"))
    return answers


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--jars", required=True)
    p.add_argument("--broker")
    p.add_argument("--against")
    p.add_argument("--record", action="store_true")
    p.add_argument("--table")
    p.add_argument("-k", default="")
    p.add_argument("-v", action="store_true", help="how long each took")
    options = p.parse_args()
    expected_path = os.path.join(HERE, "expected.txt")
    expected = {} if options.record else read_expected(expected_path)
    all_commands = commands(open(os.path.join(HERE, "conversation.txt")).read())
    with tempfile.TemporaryDirectory(prefix="once-tools-") as work:
        own = None
        if options.against:
            address = options.against
        else:
            from broker import Own
            own = Own(options.broker, work, ("strict=true", "group.initial.rebalance.delay.ms=0"))
            address = own.start().address
        runner = Runner(options.jars, address, work)
        results, recorded = [], []
        try:
            for line, tool, words, stdin, how in all_commands:
                began = time.monotonic()
                if options.record:
                    time.sleep(0.4)  # Kafka shows a change a moment later
                code, said = runner.run(tool, words, stdin)
                if options.v:
                    print("%5.1f s  %3d  %s" % (time.monotonic() - began, code, line), flush=True)
                answer = mask(said, how) + ("\nexit code %d" % code if code else "")
                answer = answer.strip("\n")
                recorded.append("$ %s\n%s\n" % (line, answer))
                want = expected.get(line, [None])
                want = want.pop(0) if len(want) > 1 else want[0]
                results.append((tool, line, answer == want, want, answer))
        finally:
            runner.close()
            if own:
                own.stop()
    if options.record:
        with open(expected_path, "w") as f:
            f.write("\n".join(recorded))
        print("%d answers are kept" % len(recorded))
        return 0
    failed = [r for r in results if not r[2]]
    for _, line, _, want, answer in failed:
        if re.search(options.k, line):
            print("FAIL  %s\n--- expected\n%s\n--- answered\n%s\n" % (line, want, answer))
    if options.table:
        write_table(options.table, results)
    print("%d passed, %d failed" % (len(results) - len(failed), len(failed)))
    return 1 if failed else 0


def write_table(path, results):
    with open(path, "w") as f:
        f.write("# Kafka's command-line tools\n\n"
                "The tools of Apache Kafka 4.4.0, run against this broker, and their output compared with what they print\n"
                "against Apache Kafka 4.4.0 on one node. Addresses, IDs, times, rates, sizes and the broker's words behind the\n"
                "name of an error are masked. `make tools` writes this page: `compat/tools/conversation.txt` has the\n"
                "commands, `compat/tools/expected.txt` what they print against Kafka.\n\n"
                "| tool | commands | as against Kafka |\n|---|---|---|\n")
        for tool in TOOLS:
            of = [r[2] for r in results if r[0] == tool]
            f.write("| `%s` | %d | %d |\n" % (tool, len(of), sum(of)))


if __name__ == "__main__":
    sys.exit(main())
