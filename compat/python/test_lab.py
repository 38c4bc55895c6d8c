"""The lab over HTTP: its clients in examples/lab, and the snippets of docs/lab.md."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "examples" / "lab"
CLIENT = CLIENTS / "python"
PAGE = (ROOT / "docs" / "lab.md").read_text()

pytestmark = pytest.mark.own_broker


def fences(text, language):
    """The fenced blocks of a language in a page."""
    return re.findall(r"^```%s\n(.*?)^```$" % language, text, re.M | re.S)


def run_pytest(directory, lab):
    environment = {**os.environ, "ONCE_LAB": lab, "COMPAT_RESULTS": ""}
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", directory],
                         cwd=directory, env=environment, capture_output=True, text=True, timeout=80)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


def test_client(broker):
    """examples/lab/python."""
    run_pytest(CLIENT, "http://" + broker.admin)


def test_node_client(broker, tmp_path):
    """examples/lab/node."""
    folder = tmp_path / "node"
    shutil.copytree(CLIENTS / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    environment = {**os.environ, "ONCE_LAB": "http://" + broker.admin}
    run = dict(cwd=folder, env=environment, capture_output=True, text=True, timeout=80)
    installed = subprocess.run(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], **run)
    assert installed.returncode == 0, installed.stderr[-2000:]
    ran = subprocess.run(["npm", "test"], **run)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert int(re.search(r"^(?:#|ℹ) pass (\d+)$", ran.stdout, re.M)[1]) >= 5, ran.stdout[-4000:]


def test_java_client(broker, tmp_path):
    """examples/lab/java."""
    folder = tmp_path / "java"
    shutil.copytree(CLIENTS / "java", folder, ignore=shutil.ignore_patterns("target"))
    ran = subprocess.run(["mvn", "-q", "-B", "test"], cwd=folder, env={**os.environ, "ONCE_LAB": "http://" + broker.admin},
                         capture_output=True, text=True, timeout=85)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    report, = (folder / "target" / "surefire-reports").glob("*.txt")
    assert int(re.search(r"Tests run: (\d+)", report.read_text())[1]) == 5


SECTIONS = re.split(r"^## ", PAGE, flags=re.M)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.split("\n")[0].split(".")[0])
def test_page(broker, tmp_path, section):
    """docs/lab.md: the snippets of a section pass, and make the call that the section shows."""
    shutil.copy(CLIENT / "once_lab.py", tmp_path)
    shutil.copy(CLIENT / "conftest.py", tmp_path)
    shown, = fences(section, "http")
    snippets = fences(section, "python")
    assert snippets
    (tmp_path / "test_page.py").write_text("\n\n".join(fences(PAGE.split("\n## ")[0], "python") + snippets))
    with Recorder("http://" + broker.admin) as recorder:
        run_pytest(tmp_path, recorder.url)
    first, _, body = shown.partition("\n")
    method, path = first.split(" ")
    call = (method, path, json.loads(body) if body else None)
    assert call in recorder.calls, recorder.calls


def test_page_has_eleven_sections():
    """docs/lab.md has eleven sections: ten tests, and findings."""
    assert len(SECTIONS) == 11


class Recorder:
    """Hands requests on to the lab, and remembers them as if they were for the default cluster."""

    def __init__(self, lab):
        self.calls = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def serve(self):
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = re.sub(r"^/v1/clusters/[^/]+/", "/v1/", self.path)
                recorder.calls.append((self.command, path, json.loads(text) if text else None))
                request = urllib.request.Request(lab + self.path, method=self.command, data=text or None)
                if text:
                    request.add_header("Content-Type", self.headers["Content-Type"])
                try:
                    answer = urllib.request.urlopen(request, timeout=70)
                except urllib.error.HTTPError as e:
                    answer = e
                with answer:
                    body = answer.read()
                    self.send_response(answer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = serve

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
