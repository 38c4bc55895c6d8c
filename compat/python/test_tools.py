"""Every command-line tool of Kafka 4.4, its output compared with what it prints against Apache Kafka."""

import os
import subprocess
import sys

import pytest

RUN = os.path.join(os.path.dirname(__file__), "..", "tools", "run.py")


@pytest.mark.own_broker
def test_tools():
    """Kafka's 28 command-line tools print against this broker what they print against Kafka."""
    jars = os.path.join(os.environ["COMPAT_JARS"], "4.4.0")
    done = subprocess.run([sys.executable, RUN, "--jars", jars, "--broker", os.environ["COMPAT_BROKER"]],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-20000:]
