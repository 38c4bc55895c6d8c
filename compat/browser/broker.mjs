// A broker of its own for the test, and the lab's calls.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:net";
import { createInterface } from "node:readline";

export async function startBroker(...flags) {
  const directory = await mkdtemp(join(tmpdir(), "inspector-"));
  const child = spawn(process.env.BROKER, ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", join(directory, "data"), ...flags],
    { stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stderr.on("data", (text) => log.push(text));
  const ready = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => line.startsWith("ready ") && resolve(line));
    ended.then((code) => reject(new Error(`the broker ended with ${code}: ${log.join("")}`)));
  });
  const part = (name) => ready.match(new RegExp(`${name}=(\\S+)`))[1];
  const page = `http://${part("admin")}/`;
  return {
    address: part("listen"),
    page,
    async lab(method, path, body) {
      const answer = await fetch(`${page}v1/${path}`, { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) });
      const said = await answer.json();
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${said.detail}`);
      return said;
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

// initProducers makes transactional IDs many-00000, many-00001, …: as many InitProducerId requests, version 0, on one connection.
export async function initProducers(address, n) {
  const [host, port] = address.split(":");
  const socket = connect(Number(port), host);
  const request = (i) => {
    const id = Buffer.from(`many-${String(i).padStart(5, "0")}`);
    const frame = Buffer.alloc(4 + 10 + 2 + id.length + 4);
    frame.writeInt32BE(frame.length - 4, 0);
    frame.writeInt16BE(22, 4); // InitProducerId
    frame.writeInt32BE(i, 8); // correlation ID
    frame.writeInt16BE(-1, 12); // no client ID
    frame.writeInt16BE(id.length, 14);
    id.copy(frame, 16);
    frame.writeInt32BE(60000, 16 + id.length); // the timeout
    return frame;
  };
  const answerBytes = 4 + 4 + 4 + 2 + 8 + 2;
  let got = 0;
  const done = new Promise((resolve, reject) => {
    socket.on("data", (bytes) => (got += bytes.length) >= n * answerBytes && resolve());
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`closed after ${got} bytes`)));
  });
  for (let i = 0; i < n; i++) socket.write(request(i));
  await done;
  socket.destroy();
}
