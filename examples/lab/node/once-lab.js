// The lab of Once from Node: one file over fetch. Copy it beside your tests. `labOf(t)` gives a test of node:test a cluster
// of its own, in a broker that runs: ONCE_LAB is its admin address, http://localhost:9644 by default, and
// ONCE_LAB_TOKEN its token, if it has one. A test fails when a fault that it asked for never happened.

/** An answer that is no success; `answer` is what stands in it, as JSON. */
export class LabError extends Error {
  constructor(status, answer) {
    super(`${status} ${answer.detail ?? JSON.stringify(answer)}`);
    this.status = status;
    this.answer = answer;
  }
}

/** The lab of one cluster. Clients connect to `bootstrap`. */
export class Lab {
  constructor(
    url = 'http://localhost:9644',
    cluster = 'default',
    bootstrap = 'localhost:9092',
    token = process.env.ONCE_LAB_TOKEN,
  ) {
    Object.assign(this, { url: url.replace(/\/$/, ''), cluster, bootstrap, token });
  }

  /** Any call of GET /v1/openapi.json, with the path behind /v1, and its answer. */
  call(method, path, body, query) {
    return this.#send(method, `/clusters/${encodeURIComponent(this.cluster)}${path}`, body, query);
  }

  async #send(method, path, body, query) {
    const options = { method, headers: this.token ? { Authorization: `Bearer ${this.token}` } : {} };
    if (body !== undefined) {
      options.body = JSON.stringify(body);
      options.headers['Content-Type'] = 'application/json';
    }
    const response = await fetch(`${this.url}/v1${path}${query ? `?${new URLSearchParams(query)}` : ''}`, options);
    const answer = await response.json();
    if (!response.ok) throw new LabError(response.status, answer);
    return answer;
  }

  /** The lab of a new cluster; options as of POST /v1/clusters. */
  async newCluster(options) {
    const name = `test-${crypto.randomUUID().slice(0, 13)}`;
    const made = await this.#send('POST', '/clusters', { name, ...options });
    return new Lab(this.url, made.name, made.bootstrap, this.token);
  }

  /** Ends the cluster. */
  delete() {
    return this.#send('DELETE', `/clusters/${encodeURIComponent(this.cluster)}`);
  }

  /** Makes a rule: fault({ match: { api: 'EndTxn' }, do: { loseAnswer: true } }). */
  async fault(rule) {
    return new Fault(this, (await this.call('POST', '/faults', rule)).id);
  }

  /** Ends all rules. One that never fired makes it an error, which names the rule. */
  heal() {
    return this.call('DELETE', '/faults', undefined, { requireTriggered: true });
  }

  /** Moves the clock forward, and returns what fell due: advance('16m'). */
  async advance(by) {
    return (await this.call('POST', '/clock', { advance: by })).did;
  }

  /** Waits: waitFor({ group: { id: 'g', state: 'Stable' } }). Returns the state. */
  waitFor(condition, timeout = '10s') {
    return this.call('POST', '/await', { ...condition, timeout });
  }

  /** Ends the cluster and opens it again: 'clean', 'kill' or 'powerCut'. */
  restart(how) {
    return this.call('POST', '/restart', { how });
  }

  /** Makes the cluster as new. */
  reset() {
    return this.call('POST', '/reset');
  }

  /** A transactional ID; with 'fence', 'abort' or 'hang', that is done to it. */
  transaction(id, verb) {
    const path = `/transactions/${encodeURIComponent(id)}`;
    return verb ? this.call('POST', `${path}/${verb}`) : this.call('GET', path);
  }

  /** What the broker noticed about clients, but for the codes in ignore: assert.deepEqual(await lab.findings(), []). */
  findings(ignore = []) {
    return this.call('GET', '/findings', undefined, ignore.length ? { ignore } : undefined);
  }

  /** Forgets the findings, and returns them. */
  clearFindings() {
    return this.call('DELETE', '/findings');
  }

  /** The values of the records with this fate: 'committed', 'aborted', 'open' or 'plain'. */
  async values(topic, { partition = 0, fate = 'committed' } = {}) {
    const values = [];
    for (let from = 0, more = true; more; ) {
      const read = await this.call('GET', `/records/${encodeURIComponent(topic)}/${partition}`, undefined, { from });
      for (const b of read.batches) if (b.fate === fate) values.push(...b.records.map((r) => r.value));
      from = read.nextOffset;
      more = read.batches.length > 0 && from < read.highWatermark;
    }
    return values;
  }
}

/** A rule that was made. */
export class Fault {
  constructor(lab, id) {
    Object.assign(this, { lab, id });
  }

  /** The rule with its counts: matched, triggered, held. */
  state() {
    return this.lab.call('GET', `/faults/${this.id}`);
  }

  /** Waits until it is 'triggered', 'held' or 'matched'. */
  wait(what = 'triggered', timeout = '10s') {
    return this.lab.call('GET', `/faults/${this.id}`, undefined, { wait: what, timeout });
  }

  /** Lets go of what is held, and returns how much that was. */
  async release() {
    return (await this.lab.call('POST', `/faults/${this.id}/release`)).released;
  }
}

/** A cluster for one test, whose faults must have happened. */
export async function labOf(t) {
  const lab = await new Lab(process.env.ONCE_LAB).newCluster();
  t.after(async () => {
    try {
      await lab.heal();
    } finally {
      await lab.delete();
    }
  });
  return lab;
}
