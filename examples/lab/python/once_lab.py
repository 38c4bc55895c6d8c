"""The lab of Once from Python: one file over urllib, and a pytest fixture.

Copy it beside your tests, and put this into conftest.py:

    pytest_plugins = ["once_lab"]

The fixture `lab` gives each test a cluster of its own, in a broker that runs: `ONCE_LAB` is its admin address,
http://localhost:9644 by default, and `ONCE_LAB_TOKEN` its token, if it has one. A test fails when a fault that it asked
for never happened.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest

WAIT_S = 70  # for an answer: above the longest await


class LabError(Exception):
    """An answer that is no success. `answer` is what stands in it, as JSON."""

    def __init__(self, status, answer):
        super().__init__("%d %s" % (status, answer.get("detail", answer) if isinstance(answer, dict) else answer))
        self.status = status
        self.answer = answer


class Lab:
    """The lab of one cluster. Clients connect to `bootstrap`."""

    def __init__(self, url="http://localhost:9644", cluster="default", bootstrap="localhost:9092", token=None):
        self.url = url.rstrip("/")
        self.token = token or os.environ.get("ONCE_LAB_TOKEN")
        self.cluster = cluster
        self.bootstrap = bootstrap

    def call(self, method, path, body=None, **query):
        """Any call of GET /v1/openapi.json, with the path behind /v1, and its answer."""
        return self._send(method, "/clusters/%s%s" % (_quoted(self.cluster), path), body, query)

    def _send(self, method, path, body=None, query=None):
        address = self.url + "/v1" + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(address, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", "Bearer " + self.token)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as e:
            with e:
                raise LabError(e.code, json.load(e)) from None

    def new_cluster(self, name=None, **options):
        """The lab of a new cluster; options as of POST /v1/clusters."""
        made = self._send("POST", "/clusters", {"name": name or "test-" + uuid.uuid4().hex[:12], **options})
        return Lab(self.url, made["name"], made["bootstrap"], self.token)

    def delete(self):
        """Ends the cluster."""
        self._send("DELETE", "/clusters/" + _quoted(self.cluster))

    def fault(self, do, when=None, name=None, **match):
        """Makes a rule: fault({"loseAnswer": True}, api="EndTxn")."""
        rule = {"match": match, "do": do}
        if when:
            rule["when"] = when
        if name:
            rule["name"] = name
        return Fault(self, self.call("POST", "/faults", rule)["id"])

    def heal(self):
        """Ends all rules. One that never fired makes it an error, which names the rule."""
        return self.call("DELETE", "/faults", requireTriggered="true")

    def advance(self, by):
        """Moves the clock forward, and returns what fell due: advance("16m")."""
        return self.call("POST", "/clock", {"advance": by})["did"]

    def wait_for(self, timeout="10s", **condition):
        """Waits: wait_for(group={"id": "g", "state": "Stable"}). Returns the state."""
        return self.call("POST", "/await", {**condition, "timeout": timeout})

    def restart(self, how):
        """Ends the cluster and opens it again: "clean", "kill" or "powerCut"."""
        return self.call("POST", "/restart", {"how": how})

    def reset(self):
        """Makes the cluster as new."""
        return self.call("POST", "/reset")

    def transaction(self, transactional_id, verb=None):
        """A transactional ID; with "fence", "abort" or "hang", that is done to it."""
        path = "/transactions/" + _quoted(transactional_id)
        return self.call("POST", path + "/" + verb) if verb else self.call("GET", path)

    def findings(self, ignore=()):
        """What the broker noticed about clients, but for the codes in ignore: assert lab.findings() == []."""
        return self.call("GET", "/findings", **({"ignore": ",".join(ignore)} if ignore else {}))

    def clear_findings(self):
        """Forgets the findings, and returns them."""
        return self.call("DELETE", "/findings")

    def values(self, topic, partition=0, fate="committed"):
        """The values of the records with this fate: "committed", "aborted", "open" or "plain"."""
        values, at, end = [], 0, 1
        while at < end:
            read = self.call("GET", "/records/%s/%d" % (_quoted(topic), partition), **{"from": at})
            values += [r["value"] for b in read["batches"] if b["fate"] == fate for r in b["records"]]
            at, end = read["nextOffset"], read["highWatermark"] if read["batches"] else 0
        return values


class Fault:
    """A rule that was made."""

    def __init__(self, lab, id):
        self.lab = lab
        self.id = id

    def state(self):
        """The rule with its counts: matched, triggered, held."""
        return self.lab.call("GET", "/faults/" + self.id)

    def wait(self, what="triggered", timeout="10s"):
        """Waits until it is "triggered", "held" or "matched"."""
        return self.lab.call("GET", "/faults/" + self.id, wait=what, timeout=timeout)

    def release(self):
        """Lets go of what is held, and returns how much that was."""
        return self.lab.call("POST", "/faults/%s/release" % self.id)["released"]


def _quoted(name):
    return urllib.parse.quote(name, safe="")


@pytest.fixture
def lab():
    """A cluster for one test, whose faults must have happened."""
    cluster = Lab(os.environ.get("ONCE_LAB", "http://localhost:9644")).new_cluster()
    try:
        yield cluster
        cluster.heal()
    finally:
        cluster.delete()
