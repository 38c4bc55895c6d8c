"""The broker that the checks run against: one of ours, started fresh, or one that runs already."""

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "lab", "python"))
from once_lab import Lab  # noqa: E402

READY_WITHIN_S = 20


def _free_port():
    """A free port below those that the system gives to outgoing connections: while the broker is down, a client
    that tries to reach it must not be given the broker's own port, which would keep it from coming back."""
    while True:
        port = random.randrange(20_000, 29_000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Running:
    """A broker that somebody else started. It cannot be killed, and its log is not ours to show."""

    def __init__(self, address):
        self.address = address

    def stop(self):
        pass

    def log_tail(self):
        return ""


@contextlib.contextmanager
def running(*settings):
    """A broker of ours in a directory of its own, which goes with it."""
    directory = tempfile.mkdtemp(prefix="once-compat-")
    started = Own(os.environ["COMPAT_BROKER"], directory, settings)
    try:
        yield started.start()
    finally:
        started.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Own:
    """A broker process with a data directory of its own. A start has a lab of its own, without rules.

    kill is SIGKILL; start after it comes back on the same directory and port.
    """

    def __init__(self, binary, directory, settings=()):
        self._binary = binary
        self._directory = directory
        self._settings = settings
        self._process = None
        self.address = "127.0.0.1:%d" % _free_port()
        self.admin = self.lab = None  # known once it is ready
        self._log = os.path.join(directory, "broker.log")

    def start(self):
        command = [self._binary, "--listen", self.address, "--admin", "127.0.0.1:0",
                   "--data-dir", os.path.join(self._directory, "data")]
        for setting in self._settings:
            command += ["--set", setting]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        line = self._ready_line()
        words = dict(w.split("=", 1) for w in line.split()[1:] if "=" in w)
        self.address, self.admin = words["listen"], words["admin"]
        self.lab = Lab("http://" + self.admin, bootstrap=self.address)
        return self

    def _ready_line(self):
        deadline = time.monotonic() + READY_WITHIN_S
        out, seen = self._process.stdout.fileno(), b""
        while time.monotonic() < deadline:
            if select.select([out], [], [], 0.2)[0]:
                part = os.read(out, 4096)
                seen += part
                for line in seen.decode(errors="replace").splitlines(keepends=True):
                    if line.startswith("ready ") and line.endswith("\n"):
                        return line
                if not part:
                    break
        self.kill()
        raise AssertionError("the broker did not get ready; its log ends with\n" + self.log_tail())

    def findings(self, clear=False):
        """What the broker has noticed about its clients since its start; nothing while it is down."""
        if self._process is None:
            return []
        return self.lab.clear_findings() if clear else self.lab.findings()

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def stop(self):
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def log_tail(self, lines=60):
        try:
            with open(self._log, "rb") as f:
                return b"\n".join(f.read().splitlines()[-lines:]).decode(errors="replace")
        except FileNotFoundError:
            return ""
