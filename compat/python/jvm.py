"""Kafka's own Java tools, from the jars of one version, as child processes.

COMPAT_JARS is the directory that run.sh fills: one folder of jars for each version.
"""

import os
import queue
import signal
import subprocess
import threading

COPIER = "org.apache.kafka.tools.TransactionalMessageCopier"
PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PRODUCER = {"4.4.0": "org.apache.kafka.tools.ConsoleProducer", "3.9.2": "kafka.tools.ConsoleProducer"}
PRODUCER_SETTING = {"4.4.0": "--command-property", "3.9.2": "--producer-property"}
VERSIONS = tuple(PRODUCER)

# Small and quick to start: two processors are shared with the broker.
JVM = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
       "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def command(version, tool, *args, classes=None):
    """classes is a directory of compiled programs."""
    path = [os.path.join(os.environ["COMPAT_JARS"], version, "*")] + ([classes] if classes else [])
    return JVM + ["-cp", os.pathsep.join(path), tool] + [str(a) for a in args]


def compile(version, source, directory):
    """Compile a program that starts itself again. Others run from their source."""
    jars = os.path.join(os.environ["COMPAT_JARS"], version, "*")
    subprocess.run(["javac", "-cp", jars, "-d", directory, source], check=True, timeout=120)


def run(version, tool, *args, stdin=b"", within_s=60, expect=0):
    """Run a tool to its end; its standard output."""
    done = subprocess.run(command(version, tool, *args), input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=within_s)
    assert done.returncode == expect, "%s ended with %d:\n%s\n%s" % (
        tool, done.returncode, done.stdout.decode()[-2000:], done.stderr.decode()[-4000:])
    return done.stdout


class Tool:
    """A tool that runs beside the check."""

    def __init__(self, version, tool, *args, classes=None):
        self.name = tool
        self._process = subprocess.Popen(command(version, tool, *args, classes=classes), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = []
        self._lines = queue.Queue()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        for line in self._process.stdout:
            self.output.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        """SIGKILL; whether the tool was still at work."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._thread.join(10)
        return self._process.returncode == -signal.SIGKILL

    def await_line(self, wanted, within_s=60):
        """Wait for a line of output for which wanted gives something true, and return that."""
        while True:
            try:
                line = self._lines.get(timeout=within_s)
            except queue.Empty:
                raise AssertionError("%s did not say what was waited for; %s" % (self.name, self.tail())) from None
            if line is None:
                raise AssertionError("%s ended early; %s" % (self.name, self.tail()))
            if got := wanted(line):
                return got

    def await_event(self, event, what, within_s=60):
        assert event.wait(within_s), "not within %d s: %s; %s" % (within_s, what, self.tail())

    def await_exit(self, within_s=75):
        """The exit status."""
        code = self._process.wait(within_s)
        self._thread.join(10)
        return code

    def await_end(self, within_s=75):
        code = self.await_exit(within_s)
        assert code == 0, "%s ended with %d; %s" % (self.name, code, self.tail())

    def tail(self):
        return "the end of its output:\n" + b"".join(self.output[-30:]).decode(errors="replace")
