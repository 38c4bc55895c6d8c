"""The consume-transform-produce application of the checks, as a process of its own that can be killed.

transform_<client>.py is the application; this starts it, follows its progress and judges its output.
It prints PAUSED when it stops before a commit, and DONE after its last one.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading

import kp

HERE = os.path.dirname(os.path.abspath(__file__))
INPUTS = 400
IN_ONE_TRANSACTION = 50


class Worker:
    """session_ms is the group session; the default is the shortest that Kafka allows, so that a killed worker
    leaves the group soon."""

    def __init__(self, client, address, name, pause_before_commit=0, instance=None, session_ms=6000, protocol="classic"):
        job = {"address": address, "input": name + "-in", "output": name + "-out", "group": name + "-group",
               "transactional_id": name + "-copier", "batch": IN_ONE_TRANSACTION,
               "pause_before_commit": pause_before_commit, "instance": instance,
               "session_ms": session_ms, "protocol": protocol}
        self._process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "transform_%s.py" % client), json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._lines = queue.Queue()
        self._errors = []
        self._threads = [threading.Thread(target=self._follow, daemon=True),
                         threading.Thread(target=lambda: self._errors.extend(self._process.stderr), daemon=True)]
        for t in self._threads:
            t.start()

    def _follow(self):
        for line in self._process.stdout:
            self._lines.put(line.decode().strip())
        self._lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for t in self._threads:
            t.join(10)

    def _died(self):
        self._process.wait()
        self._threads[1].join(10)
        return AssertionError("the worker ended early; " + self._tail())

    def _tail(self):
        return "the end of its errors:\n" + b"".join(self._errors[-40:]).decode(errors="replace")

    def await_line(self, wanted, within_s=45):
        while True:
            try:
                line = self._lines.get(timeout=within_s)
            except queue.Empty:
                raise AssertionError("the worker did not say %s within %d s; %s" % (wanted, within_s, self._tail())) from None
            if line == wanted:
                return
            if line is None:
                raise self._died()

    def await_event(self, event, what, within_s=45):
        if event.wait(within_s):
            return
        if self._process.poll() is not None:
            raise self._died()
        raise AssertionError("not within %d s: %s; %s" % (within_s, what, self._tail()))

    def await_done(self):
        self.await_line("DONE")
        self._process.wait(15)

    @staticmethod
    def fill(address, name):
        """Create the topics and write the input; its values."""
        kp.create_topic(address, name + "-in", 2)
        kp.create_topic(address, name + "-out", 2)
        values = [b"%03d" % i for i in range(INPUTS)]
        sender = kp.producer(address)
        for i, value in enumerate(values):
            sender.send(name + "-in", key=value, value=value, partition=i % 2)
        sender.flush(30)
        sender.close()
        return values

    @staticmethod
    def assert_copied(address, name, inputs, leftovers):
        """Each input has one output for read_committed; leftovers says whether an aborted attempt lies there too."""
        kp.await_stable(address, name + "-out")
        committed = kp.read(address, name + "-out", "read_committed")
        kp.assert_exactly_once([b"out-" + v for v in inputs], committed)
        written = kp.read(address, name + "-out", "read_uncommitted")
        if leftovers:
            assert len(written) > len(committed), "the kill interrupted nothing"
        else:
            assert len(written) == len(committed), "a commit that was answered has been done again"
