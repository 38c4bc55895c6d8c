// A broker of its own for the test, and the lab's calls.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:net";
import { createInterface } from "node:readline";

export async function startBroker(...flags) {
  const directory = await mkdtemp(join(tmpdir(), "inspector-"));
  const child = spawn(
    process.env.BROKER,
    ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", join(directory, "data"), ...flags],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const log = [];
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stderr.on("data", (text) => log.push(text));
  const ready = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => line.startsWith("ready ") && resolve(line));
    ended.then((code) => reject(new Error(`the broker ended with ${code}: ${log.join("")}`)));
  });
  const part = (name) => ready.match(new RegExp(`${name}=(\\S+)`))[1];
  const page = `http://${part("admin")}/`;
  const token = flags.find((f) => f.startsWith("lab.token="))?.slice("lab.token=".length);
  return {
    address: part("listen"),
    page,
    async lab(method, path, body) {
      const answer = await fetch(`${page}v1/${path}`, {
        method,
        body: body && JSON.stringify(body),
        headers: {
          ...(body && { "Content-Type": "application/json" }),
          ...(token && { Authorization: "Bearer " + token }),
        },
      });
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

// startMembers starts a member of the share group sharers and one of the streams group counters, which the clients here do
// not have: see compat/go/members. They have partitions of the topic when it returns.
export async function startMembers(address, topic) {
  const child = spawn(process.env.MEMBERS, ["-broker", address, "-topic", topic], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const ready = new Promise((resolve) => createInterface(child.stdout).once("line", resolve));
  const code = await Promise.race([ready.then(() => null), ended]);
  if (code !== null) throw new Error(`members ended with ${code}`);
  return {
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

// openTransactions opens n transactions with a partition of a topic, of the transactional IDs many-00000, many-00001, …:
// InitProducerId and AddPartitionsToTxn, version 0, on one connection.
export async function openTransactions(address, n, topic) {
  const ids = Array.from({ length: n }, (_, i) => `many-${String(i).padStart(5, "0")}`);
  const connection = connectTo(address);
  const producers = await connection.ask(
    22,
    ids.map((id) => [text(id), int(4, 60000)]),
  );
  const added = await connection.ask(
    24,
    ids.map((id, i) => [
      text(id),
      producers[i].subarray(6, 16), // producer ID and epoch
      int(4, 1),
      text(topic),
      int(4, 1),
      int(4, 0),
    ]),
  );
  connection.close();
  const codes = added.map((answer) => answer.readInt16BE(answer.length - 2));
  if (codes.some((code) => code !== 0)) throw new Error("AddPartitionsToTxn: " + codes.find((code) => code !== 0));
}

function int(bytes, value) {
  const b = Buffer.alloc(bytes);
  b.writeIntBE(value, 0, bytes);
  return b;
}

const text = (s) => Buffer.concat([int(2, Buffer.byteLength(s)), Buffer.from(s)]);

// connectTo returns a connection that sends requests of one API and waits for all answers: their bodies, in order.
function connectTo(address) {
  const [host, port] = address.split(":");
  const socket = connect(Number(port), host);
  return {
    close: () => socket.destroy(),
    ask: (key, bodies) =>
      new Promise((resolve, reject) => {
        const answers = [];
        let rest = Buffer.alloc(0);
        socket.removeAllListeners();
        socket.on("data", (bytes) => {
          rest = Buffer.concat([rest, bytes]);
          while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
            const end = 4 + rest.readInt32BE(0);
            answers.push(Buffer.from(rest.subarray(8, end))); // behind the correlation ID
            rest = rest.subarray(end);
          }
          if (answers.length === bodies.length) resolve(answers);
        });
        socket.on("error", reject);
        socket.on("close", () => reject(new Error(`closed after ${answers.length} answers`)));
        bodies.forEach((body, i) => {
          const frame = Buffer.concat([int(2, key), int(2, 0), int(4, i), int(2, -1), ...body]); // no client ID
          socket.write(Buffer.concat([int(4, frame.length), frame]));
        });
      }),
  };
}
