// A broker, clients of it and a browser, for one file of tests.
import assert from "node:assert/strict";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { CompressionTypes, Kafka, logLevel, Partitioners } from "kafkajs";
import { chromium } from "playwright-core";
import { startBroker } from "./broker.mjs";

const patience = 40000; // ms for what a browser waits for, on a machine that is busy

export async function startWorld(...flags) {
  const broker = await startBroker(...flags);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const kafka = new Kafka({ clientId: "billing", brokers: [broker.address], logLevel: logLevel.NOTHING });
  const clients = [];
  const complaints = []; // of the browser's console
  const strangers = []; // requests to other hosts
  const world = {
    broker,
    browser,
    kafka,
    complaints,
    strangers,
    lab: broker.lab,

    // open makes a page in a browser of its own, without what other pages have stored.
    async open(options = {}) {
      const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
      context.setDefaultTimeout(patience);
      const page = await context.newPage();
      page.on(
        "console",
        (m) => ["error", "warning"].includes(m.type()) && complaints.push(`${m.text()} (${m.location().url})`),
      );
      page.on("pageerror", (e) => complaints.push(String(e)));
      page.on(
        "request",
        (r) => /^(blob:)?http/.test(r.url()) && !r.url().includes(new URL(broker.page).host) && strangers.push(r.url()),
      );
      await page.goto(broker.page);
      return page;
    },

    show: (page, hash) => page.goto(broker.page + hash),

    async producer(transactionalId, transactionTimeout = 300000) {
      const p = kafka.producer({
        transactionalId,
        idempotent: true,
        maxInFlightRequests: 1,
        transactionTimeout,
        createPartitioner: Partitioners.DefaultPartitioner,
      });
      await p.connect();
      clients.push(p);
      return p;
    },

    // send writes n records in a transaction, to partition 0.
    send: (t, value, n = 1, topic = "orders") =>
      t.send({
        topic,
        compression: CompressionTypes.None,
        messages: Array.from({ length: n }, (_, i) => ({
          key: `key-${i}`,
          value: n > 1 ? `${value} ${i}` : value,
          partition: 0,
        })),
      }),

    commitOffset: (t, group, offset, topic = "orders") =>
      t.sendOffsets({
        consumerGroupId: group,
        topics: [{ topic, partitions: [{ partition: 0, offset: String(offset) }] }],
      }),

    // refused takes back what the browser reports about answers of a status that a test has asked for.
    refused(status) {
      for (let i = complaints.length - 1; i >= 0; i--)
        if (complaints[i].includes(`status of ${status}`)) complaints.splice(i, 1);
    },

    async picture(page, name) {
      if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, name + ".png") });
    },

    async stop() {
      await browser.close();
      for (const c of clients) await c.disconnect().catch(() => {});
      await broker.stop();
    },
  };
  return world;
}

// accessible fails for what axe-core finds wrong, for a page that is wider than the window, and for fields that are wider than
// what they stand in.
export async function accessible(page, where) {
  const { violations } = await new AxeBuilder({ page }).setLegacyMode(true).analyze(); // there are no frames
  assert.deepEqual(
    violations.map((v) => `${where}: ${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`),
    [],
  );
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wider <= 0, `${where} is ${wider} pixels too wide`);
  const out = await page.evaluate(() =>
    [...document.querySelectorAll("main form :is(input, select, button)")]
      .filter((e) => {
        const own = e.getBoundingClientRect();
        return own.width > 0 && own.right > e.closest("form, .panel").getBoundingClientRect().right + 1;
      })
      .map((e) => e.name || e.textContent),
  );
  assert.deepEqual(out, [], `${where}: fields that stick out`);
}

// until waits for a condition of the broker.
export async function until(what, condition) {
  for (const end = Date.now() + patience; Date.now() < end;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail("never came: " + what);
}
