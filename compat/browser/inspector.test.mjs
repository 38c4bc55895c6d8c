// What the inspector promises, in a browser: each check looks at the page as a person does, and at the broker behind it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { CompressionTypes, Kafka, logLevel, Partitioners } from "kafkajs";
import { chromium } from "playwright-core";
import { initProducers, startBroker } from "./broker.mjs";

const hostile = `<img src=x onerror="window.broken = true"><script>window.broken = true</script>`;
let broker, browser, kafka, page;
const producers = [];
const complaints = []; // of the browser's console
const strangers = []; // requests to other hosts

async function producer(transactionalId, transactionTimeout = 300000) {
  const p = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, transactionTimeout, createPartitioner: Partitioners.DefaultPartitioner });
  await p.connect();
  producers.push(p);
  return p;
}

const send = (t, value, n = 1) => t.send({ topic: "orders", compression: CompressionTypes.None,
  messages: Array.from({ length: n }, (_, i) => ({ key: `key-${i}`, value: n > 1 ? `${value} ${i}` : value, partition: 0 })) });

before(async () => {
  broker = await startBroker();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  kafka = new Kafka({ clientId: "billing", brokers: [broker.address], logLevel: logLevel.NOTHING });
  await broker.lab("POST", "topics", [{ name: "orders", partitions: 1, records: [{ key: "plain", value: hostile }] }]);
  const done = await producer("billing-1");
  let t = await done.transaction();
  await send(t, "paid", 4);
  await t.commit();
  t = await done.transaction();
  await send(t, "refused", 2);
  await t.abort();
  const hangs = await producer("billing-3");
  await send(await hangs.transaction(), "unfinished", 3);
  await open();
});

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const made = await context.newPage();
  made.setDefaultTimeout(10000);
  made.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(`${m.text()} (${m.location().url})`));
  made.on("pageerror", (e) => complaints.push(String(e)));
  made.on("request", (r) => r.url().startsWith(broker.page) || strangers.push(r.url()));
  await made.goto(broker.page);
  page ??= made;
  return made;
}

after(async () => {
  await browser?.close();
  for (const p of producers) await p.disconnect().catch(() => {});
  await broker?.stop();
});

const show = async (hash, on = page) => {
  await on.goto(broker.page + hash);
};

async function picture(name, on = page) {
  if (process.env.PICTURES) await on.screenshot({ path: join(process.env.PICTURES, name + ".png") });
}

// accessible fails for what axe-core finds wrong.
async function accessible(on, where) {
  const { violations } = await new AxeBuilder({ page: on }).analyze();
  assert.deepEqual(violations.map((v) => `${where}: ${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`), []);
}

test("a partition's strip shows fates, in the order of the log, and where readers stand", async () => {
  await show("#/topics/orders/0");
  await page.locator("ol.strip li.open").waitFor();
  const items = await page.locator("ol.strip li").evaluateAll((all) => all.map((li) => li.dataset.fate || li.dataset.line));
  assert.deepEqual(items, ["plain", "committed", "marker", "aborted", "marker", "last stable offset", "open", "high watermark"]);
  assert.match(await page.locator("ol.strip").innerText(), /COMMIT[\s\S]*ABORT[\s\S]*last stable offset 9/);
  await page.getByRole("button", { name: /^aborted offset 6 to 7/ }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), "offset-6");
  await page.evaluate(() => scrollTo(0, 0));
  await picture("light");
});

test("hostile values are text", async () => {
  await show("#/topics/orders/0");
  await page.getByText(hostile, { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => window.broken), undefined);
});

test("an address opens the same place again", async () => {
  const again = await open();
  await show("#/topics/orders/0?offset=9", again);
  await again.locator("tr.chosen").first().waitFor();
  assert.match(await again.locator("tr.chosen").first().innerText(), /unfinished/);
  assert.deepEqual(await again.locator("ol.strip li[data-fate]").evaluateAll((all) => all.map((li) => li.dataset.offset)), ["9"]);
  await show("#/transactions/billing-1", again);
  await again.getByRole("heading", { name: "billing-1" }).waitFor();
  await again.getByRole("cell", { name: "CompleteCommit" }).first().waitFor();
  await again.context().close();
});

test("axe-core finds nothing wrong, light, dark and narrow", async () => {
  const dark = await open({ colorScheme: "dark" });
  const narrow = await open({ viewport: { width: 360, height: 800 } });
  for (const hash of ["#/", "#/topics/orders/0", "#/transactions/billing-1"]) {
    for (const [where, on] of [["light", page], ["dark", dark], ["narrow", narrow]]) {
      await show(hash, on);
      await on.getByText("will be aborted in").first().waitFor();
      await on.locator("main table:visible").first().waitFor();
      await accessible(on, `${where} ${hash}`);
      if (hash === "#/" && where === "dark") await picture(where, on);
      if (hash === "#/topics/orders/0" && where === "narrow") await picture(where, on);
      const wider = await on.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wider <= 0, `${where} ${hash} is ${wider} pixels too wide`);
    }
  }
  await dark.context().close();
  await narrow.context().close();
});

test("a fault is armed on the page, and its count rises", async () => {
  await show("#/faults");
  await page.locator("input[name=api]").fill("Metadata");
  await page.locator("select[name=when]").selectOption("always");
  await page.locator("select[name=do]").selectOption("error");
  await page.getByLabel("error or delay").fill("TOPIC_AUTHORIZATION_FAILED");
  await page.getByRole("button", { name: "Arm" }).click();
  const row = page.locator("#faults tbody tr").filter({ hasText: "TOPIC_AUTHORIZATION_FAILED" });
  await row.waitFor();
  assert.equal(await row.locator("td").nth(5).innerText(), "0");
  const admin = kafka.admin({ retry: { retries: 0 } });
  await admin.connect();
  await admin.fetchTopicMetadata({ topics: ["orders"] }).catch(() => {});
  await admin.disconnect();
  await page.waitForFunction(() => Number(document.querySelector("#faults tbody tr td:nth-child(6)").textContent) > 0);
  await page.getByRole("button", { name: /^End fault/ }).click();
  await page.getByText("There is no fault.").waitFor();
  await page.locator("input[name=api]").fill("Nonsense");
  const reported = complaints.length;
  await page.getByRole("button", { name: "Arm" }).click();
  await page.locator("#status").getByText("match.api").waitFor();
  for (const text of complaints.splice(reported)) assert.match(text, /status of 400/); // the browser reports the answer itself
});

test("an open transaction is seen, and ended by its button", async () => {
  await show("#/");
  const sentence = page.locator('[data-hangs="billing-3"]');
  await sentence.waitFor();
  assert.match(await sentence.innerText(), /orders-0 stands at offset 9 of 12: billing-3 \(producer \d+, epoch \d+\) has been open for .* and will be aborted in/);
  await sentence.getByRole("button", { name: "Abort transaction billing-3" }).click();
  await sentence.waitFor({ state: "detached" });
  assert.match((await broker.lab("GET", "transactions/billing-3")).state, /Abort/);
});

test("a finding is a sentence, and is cleared by its button", async () => {
  const hostile = "<img src=x onerror=alert(1)>";
  for (const reader of [await producer(hostile), await producer(hostile)]) {
    const t = await reader.transaction();
    await send(t, "shared");
    await t.commit();
  }
  await show("#/");
  const finding = page.locator('[data-finding="shared-transactional-id"]');
  await finding.waitFor();
  assert.ok((await finding.innerText()).includes(`Transactional ID "${hostile}" is used by two clients`), await finding.innerText());
  assert.equal(await page.locator("img").count(), 0);
  await page.getByRole("button", { name: "Clear the findings" }).click();
  await finding.waitFor({ state: "detached" });
  assert.deepEqual(await broker.lab("GET", "findings"), []);
});

test("the clock is moved, and the move ends what falls due", async () => {
  const slow = await producer("billing-4", 60000);
  await send(await slow.transaction(), "slow");
  await show("#/clock");
  await page.locator('[data-hangs="billing-4"]').waitFor();
  const { now } = await broker.lab("GET", "clock");
  await page.getByLabel("Advance by").fill("61s");
  await page.getByRole("button", { name: "Advance", exact: true }).click();
  await page.locator('[data-hangs="billing-4"]').waitFor({ state: "detached" });
  const moved = Date.parse((await broker.lab("GET", "clock")).now) - Date.parse(now);
  assert.ok(moved >= 61000 && moved < 90000, `moved by ${moved} ms`);
  await page.getByRole("button", { name: "Freeze" }).click();
  await page.getByText("The clock is frozen").waitFor();
  await page.getByRole("button", { name: "Resume the clock" }).click();
  await page.getByText("The clock is frozen").waitFor({ state: "detached" });
});

test("a group shows its lag, and offsets that wait in a transaction", async () => {
  const from = await producer("billing-6");
  const commit = (t, offset) => t.sendOffsets({ consumerGroupId: "readers", topics: [{ topic: "orders", partitions: [{ partition: 0, offset }] }] });
  let t = await from.transaction();
  await send(t, "output");
  await commit(t, "1");
  await t.commit();
  t = await from.transaction();
  await commit(t, "2");
  await show("#/groups/readers");
  const row = page.locator("#groups table").nth(1).locator("tbody tr");
  await row.getByText("in a transaction").waitFor();
  await t.commit();
  await row.getByText("in a transaction").waitFor({ state: "detached" });
  const [group] = await broker.lab("GET", "groups");
  const cells = await row.locator("td").allInnerTexts();
  assert.deepEqual(cells.slice(0, 2), ["orders-0", "2"]);
  assert.equal(cells[3], String(group.lag));
  assert.ok(group.lag > 0);
});

test("a transaction that no coordinator knows is seen", async () => {
  const lost = await producer("billing-5");
  await send(await lost.transaction(), "lost");
  await show("#/");
  await page.locator('[data-hangs="billing-5"]').waitFor();
  await broker.lab("POST", "transactions/billing-5/hang");
  await page.locator('[data-hangs="orders-0"]').getByText("no coordinator will end it").waitFor();
});

test("a thousand topics and ten thousand transactions come in pages, and the page stays quick", async () => {
  await initProducers(broker.address, 10000);
  for (let from = 0; from < 1000; from += 250) {
    await broker.lab("POST", "topics", Array.from({ length: 250 }, (_, i) => ({ name: `t-${String(from + i).padStart(4, "0")}`, partitions: 1 })));
  }
  const began = Date.now();
  await show("#/topics");
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByRole("link", { name: "First page" }).waitFor();
  assert.equal(await page.locator("#topics tbody tr").count(), 50);
  await show("#/transactions?after=many-05000");
  await page.getByRole("link", { name: "many-05001" }).waitFor();
  assert.equal(await page.locator("#transactions tbody tr").count(), 50);
  assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
});

test("without the lab the page shows, and has no button that changes something", async () => {
  const other = await startBroker("--lab=false");
  try {
    const on = await browser.newPage();
    await on.goto(other.page);
    await on.getByText("There is no transactional ID.").waitFor();
    await on.locator("body.readonly").waitFor();
    assert.equal(await on.getByRole("button").count(), 0);
  } finally {
    await other.stop();
  }
});

test("the console has no error, and no request went to another host", () => {
  assert.deepEqual(complaints, []);
  assert.deepEqual(strangers, []);
});
