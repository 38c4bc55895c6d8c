// What the buttons and forms of the page do, in a browser: each check looks at the broker behind it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { accessible, startWorld, until } from "./world.mjs";

let w, page;
const hangs = (key) => page.locator(`[data-hangs="${key}"]`);
const press = (name) => page.getByRole("button", { name, exact: true }).click();

before(async () => {
  w = await startWorld();
  await w.lab("POST", "topics", [{ name: "orders", partitions: 1, records: [{ key: "a", value: "b" }] }]);
  page = await w.open();
});

after(() => w?.stop());

test("a snapshot is taken, downloaded, restored and dropped", async () => {
  await w.show(page, "#/cluster");
  const form = page.locator("form", { hasText: "Take a snapshot" });
  await form.getByLabel("Name").fill("before");
  await press("Take a snapshot");
  await page.getByRole("cell", { name: "before", exact: true }).waitFor();
  const begun = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download the archive of before" }).click();
  const file = await begun;
  assert.equal(file.suggestedFilename(), "before.tar.zst");
  assert.equal((await readFile(await file.path())).readUInt32LE(0), 0xfd2fb528, "zstd");
  await w.lab("POST", "topics", [{ name: "later", partitions: 1 }]);
  await press("Restore snapshot before");
  await page.getByRole("dialog").getByRole("button", { name: "Restore" }).click();
  await page.getByRole("status").getByText("Restore snapshot before: done").waitFor();
  const names = (await w.lab("GET", "topics?internal=false&brief=true")).map((t) => t.name);
  assert.deepEqual(names, ["orders"]);
  await page.locator("input[type=file]").setInputFiles(await file.path());
  await page.locator("form", { hasText: "Upload the archive" }).getByLabel("Name").fill("again");
  await press("Upload the archive");
  await page.getByRole("cell", { name: "again", exact: true }).waitFor();
  await w.lab("DELETE", "snapshots/again");
  await press("Drop snapshot before");
  await page.getByRole("dialog").getByRole("button", { name: "Drop it" }).click();
  await page.getByText("There is no snapshot.").waitFor();
});

test("an open transaction is seen, and ended by its button", async () => {
  await w.send(await (await w.producer("billing-3")).transaction(), "unfinished", 3);
  await w.show(page, "#/");
  await hangs("billing-3").waitFor();
  assert.match(await hangs("billing-3").innerText(),
    /orders-0 stands at offset 1 of 4: billing-3 \(producer \d+, epoch \d+\) has been open for .* and will be aborted in/);
  await press("Abort transaction billing-3");
  await hangs("billing-3").waitFor({ state: "detached" });
  assert.match((await w.lab("GET", "transactions/billing-3")).state, /Abort/);
});

test("a transaction that no coordinator knows is made, seen, and ended by its button", async () => {
  await w.send(await (await w.producer("billing-5")).transaction(), "lost");
  await w.show(page, "#/transactions/billing-5");
  await press("Let transaction billing-5 hang");
  await page.getByRole("dialog").getByRole("button", { name: "Let it hang" }).click();
  await hangs("orders-0").getByText("No coordinator knows it").waitFor();
  await page.goto(w.broker.page + "#/topics/orders/0");
  await page.locator(".where").getByText("no coordinator knows").waitFor();
  await hangs("orders-0").getByRole("button").click();
  await hangs("orders-0").waitFor({ state: "detached" });
  const [p] = (await w.lab("GET", "topics/orders")).partitions;
  assert.deepEqual([p.openTransactions, p.lastStableOffset], [0, p.highWatermark]);
  await page.locator(".where.good").waitFor();
  w.refused(404);
});

test("a producer is fenced", async () => {
  await w.producer("billing-9").then((p) => p.transaction()).then((t) => t.abort());
  await w.show(page, "#/transactions/billing-9");
  const { producerEpoch } = await w.lab("GET", "transactions/billing-9");
  await press("Fence the producer of billing-9");
  await page.getByRole("status").getByText(`the epoch is ${producerEpoch + 1} now`).waitFor();
});

test("a partition is taken offline, and brought back by its button", async () => {
  await w.show(page, "#/topics/orders/0");
  await press("Take orders-0 offline");
  await page.getByRole("dialog").getByRole("button", { name: "Take it offline" }).click();
  await hangs("offline orders-0").getByText("cannot be read or written").waitFor();
  await hangs("offline orders-0").getByRole("button").click();
  await hangs("offline orders-0").waitFor({ state: "detached" });
  assert.equal((await w.lab("GET", "topics/orders")).offlinePartitions, 0);
});

test("a finding is a sentence, and is cleared by its button", async () => {
  const hostile = "<img src=x onerror=alert(1)>";
  for (const one of [await w.producer(hostile), await w.producer(hostile)]) {
    const t = await one.transaction();
    await w.send(t, "shared");
    await t.commit();
  }
  await w.show(page, "#/");
  const finding = page.locator('[data-finding="shared-transactional-id"]');
  await finding.waitFor();
  assert.ok((await finding.innerText()).includes(`Transactional ID "${hostile}" is used by two clients`), await finding.innerText());
  assert.equal(await page.locator("main img").count(), 0);
  await press("Clear the findings");
  await finding.waitFor({ state: "detached" });
  assert.deepEqual(await w.lab("GET", "findings"), []);
});

test("a partition forgets a producer", async () => {
  const t = await (await w.producer("billing-2")).transaction();
  await w.send(t, "forgotten");
  await t.commit();
  const [{ producers }] = (await w.lab("GET", "topics/orders")).partitions;
  const { producerId } = await w.lab("GET", "transactions/billing-2");
  await w.show(page, "#/topics/orders/0");
  await page.getByRole("spinbutton", { name: "Producer ID" }).fill(String(producerId));
  await press("Forget the producer");
  await until("forgotten", async () => (await w.lab("GET", "topics/orders")).partitions[0].producers === producers - 1);
});

// choose sets the fields of the form, by their names.
async function choose(fields) {
  for (const [name, value] of Object.entries(fields)) {
    const e = page.locator(`#arm [name="${name}"]`);
    if (value === true) await e.check();
    else if (await e.evaluate((one) => one.tagName === "SELECT")) await e.selectOption(value);
    else await e.fill(value);
  }
}

const arm = () => page.locator("#arm").getByRole("button", { name: "Arm" }).click();

test("a fault is armed with all that it matches, and its count rises", async () => {
  await w.show(page, "#/faults");
  await choose({ api: "Metadata", when: "always", do: "error", error: "TOPIC_AUTHORIZATION_FAILED", name: "no metadata",
    "match.topic": "ord*", "match.clientId": "billing" });
  await arm();
  const row = page.locator("#faults tbody tr").filter({ hasText: "no metadata" });
  await row.waitFor();
  const [rule] = await w.lab("GET", "faults");
  assert.deepEqual([rule.match, rule.when, rule.do], [{ api: ["Metadata"], topic: ["ord*"], clientId: ["billing"] }, { always: true },
    { error: "TOPIC_AUTHORIZATION_FAILED" }]);
  assert.equal(await row.locator("td").nth(5).innerText(), "0");
  const admin = w.kafka.admin({ retry: { retries: 0 } });
  await admin.connect();
  await admin.fetchTopicMetadata({ topics: ["orders"] }).catch(() => {});
  await admin.disconnect();
  await until("triggered", async () => Number(await row.locator("td").nth(5).innerText()) > 0);
  await page.getByRole("link", { name: rule.id, exact: true }).click();
  await page.getByRole("group", { name: /fired last/ }).getByText("Metadata v").first().waitFor();
  await press("End fault " + rule.id);
  await page.getByText("There is no fault.").waitFor();
  await choose({ api: "Nonsense" });
  await arm();
  await page.getByRole("status").getByText("match.api").waitFor();
  w.refused(400);
});

test("the form offers every inner point and every action that the broker has, and no other", async () => {
  await w.show(page, "#/faults");
  const list = (problem) => problem.match(/allowed are (.*)$/)[1].split(", ").sort();
  const refusal = (rule) => w.lab("POST", "faults", rule).then(() => assert.fail("taken"), (e) => e.message);
  const offered = (name) => page.locator(`#arm [name="${name}"] option`).evaluateAll((all) => all.map((o) => o.value).sort());
  const points = list(await refusal({ match: { point: "nonsense" }, do: { hold: true } }));
  assert.deepEqual(await offered("point"), points);
  for (const point of points) {
    await choose({ kind: "point", point });
    assert.deepEqual(await offered("do"), list(await refusal({ match: { point }, do: { blackhole: true } })), point);
  }
  await choose({ kind: "api" });
  const actions = await offered("do");
  assert.equal(actions.length, 11);
  for (const [kind, api] of [["api", "Produce"], ...points.map((p) => ["point", p])]) {
    await choose({ kind, ...(kind === "api" ? { api } : { point: api }) });
    for (const action of await offered("do")) {
      await choose({ do: action });
      const armed = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/v1/faults"));
      await arm();
      const answer = await armed;
      assert.equal(answer.status(), 201, `${api} ${action}: ${await answer.text()}`);
    }
  }
  await until("all of them", async () => (await w.lab("GET", "faults")).length === actions.length + 19);
  await w.lab("DELETE", "faults");
});

test("every way to say when is armed", async () => {
  await w.show(page, "#/faults");
  const ways = { first: undefined, nth: { nth: 3 }, times: { times: 3 }, after: { after: 2, times: 3 }, always: { always: true },
    probability: { probability: 0.5, seed: 7 } };
  for (const [when, want] of Object.entries(ways)) {
    await choose({ kind: "api", api: "EndTxn", when, do: "error" });
    for (const [name, value] of Object.entries({ n: "3", m: "2", probability: "0.5", seed: "7", carriedOut: true })) {
      if (await page.locator(`#arm [name="${name}"]`).isVisible()) await choose({ [name]: value });
    }
    await arm();
    await until(when, async () => (await w.lab("GET", "faults")).length === 1);
    const [rule] = await w.lab("DELETE", "faults");
    assert.deepEqual([rule.when, rule.do], [want, { error: "COORDINATOR_NOT_AVAILABLE", carriedOut: true }]);
  }
});

test("what a fault holds is seen, and let go by its button", async () => {
  await w.show(page, "#/faults");
  await choose({ kind: "point", point: "txn.marker", "match.topic": "orders", when: "first", do: "hold" });
  await arm();
  await page.locator("#faults tbody tr").filter({ hasText: "txn.marker" }).waitFor();
  const t = await (await w.producer("billing-8")).transaction();
  await w.send(t, "late");
  await t.commit();
  await hangs("billing-8").getByText("has decided to commit, and 1 marker is not written yet").waitFor();
  const [rule] = await w.lab("GET", "faults");
  await press(`Release what fault ${rule.id} holds`);
  await hangs("billing-8").waitFor({ state: "detached" });
  assert.equal((await w.lab("GET", "transactions/billing-8")).state, "CompleteCommit");
  await press("End fault " + rule.id);
});

test("the clock is moved in each way, and says what fell due", async () => {
  const slow = await (await w.producer("billing-4", 200000)).transaction();
  await w.send(slow, "slow");
  await w.show(page, "#/clock");
  await hangs("billing-4").waitFor();
  const { now } = await w.lab("GET", "clock");
  await page.getByLabel("Advance by").fill("59s");
  await press("Advance");
  await page.getByRole("status").getByText("things fell due").waitFor();
  await press("Advance to the next deadline");
  await page.locator("#clock tbody").getByText("billing-4").waitFor();
  await hangs("billing-4").waitFor({ state: "detached" });
  const moved = Date.parse((await w.lab("GET", "clock")).now) - Date.parse(now);
  assert.ok(moved >= 59000 && moved < 300000, `moved by ${moved} ms`);
  await press("Freeze");
  await hangs("clock").waitFor();
  await page.locator("#clock").getByRole("button", { name: "Resume" }).click();
  await hangs("clock").waitFor({ state: "detached" });
  await page.getByLabel("Set it to").fill("2030-01-01T00:00:00Z");
  await page.getByLabel("let members of groups time out").check();
  await page.getByLabel("let the locks of share groups end").check();
  const sent = page.waitForRequest((r) => r.method() === "POST" && r.url().endsWith("/v1/clock"));
  await press("Set");
  assert.deepEqual((await sent).postDataJSON(), { set: "2030-01-01T00:00:00Z", expireMembers: true, expireLocks: true });
  await page.getByRole("status").getByText("fell due").waitFor(); // or it may come behind what the next move says
  await page.getByText("2030-01-01").first().waitFor();
  await page.getByLabel("Set it to").fill("2020-01-01T00:00:00Z");
  await press("Set");
  await page.getByRole("status").getByText("time does not go back").waitFor();
  w.refused(409);
});

test("a restart says what recovery found", async () => {
  await w.show(page, "#/cluster");
  for (const how of ["clean", "kill", "powerCut"]) {
    await page.getByLabel("It ends").selectOption(how);
    const answered = page.waitForResponse((r) => r.url().endsWith("/v1/restart"));
    await press("Restart the cluster");
    if (how === "powerCut") await page.getByRole("dialog").getByRole("button", { name: "Restart it" }).click();
    const answer = await answered;
    assert.deepEqual([answer.status(), answer.request().postDataJSON()], [200, { how, downFor: "0s" }]);
    await page.getByRole("status").getByText("truncated").waitFor();
  }
  await page.getByText("Transactions completed").waitFor();
});

test("the coordinators are loaded again", async () => {
  await w.show(page, "#/cluster");
  await press("Reload the coordinators");
  await page.getByRole("status").getByText(/transactional IDs? and \d+ groups? in/).waitFor();
});

test("a cluster that has stopped is opened by its button", async () => {
  await w.lab("POST", "faults", { match: { point: "disk.sync" }, do: { fail: true } });
  await w.lab("POST", "topics", [{ name: "synced", partitions: 1, configs: { "flush.messages": "1" }, records: [{ value: "x" }] }]).catch(() => {});
  await w.show(page, "#/");
  await hangs("down").waitFor();
  await press("Open the cluster again");
  await hangs("down").waitFor({ state: "detached" });
  await w.lab("GET", "topics");
  w.refused(503);
});

test("a cluster of its own is made, shown at an address that names it, and ended", async () => {
  await w.show(page, "#/cluster");
  const form = page.locator("form", { hasText: "Make a cluster" });
  await form.getByLabel("Name").fill("two");
  await press("Make a cluster");
  await page.getByRole("cell", { name: "two", exact: true }).waitFor();
  await page.locator("#cluster-name").selectOption("two");
  await page.waitForURL(/#\/\?cluster=two/);
  await page.locator("#topics").getByText("There is no topic.").waitFor();
  await page.getByRole("link", { name: "Topics", exact: true }).click();
  await page.waitForURL(/#\/topics\?cluster=two/);
  await w.lab("POST", "clusters/two/topics", [{ name: "apart", partitions: 1 }]);
  await page.getByRole("link", { name: "apart" }).click();
  await page.waitForURL(/#\/topics\/apart\/0\?cluster=two/);
  await page.getByText("The partition has no records.").waitFor();
  await page.locator("#cluster-name").selectOption("default");
  await page.locator("#topics").getByRole("link", { name: "orders" }).waitFor();
  await w.show(page, "#/cluster");
  await press("End cluster two");
  await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
  await page.getByRole("cell", { name: "two", exact: true }).waitFor({ state: "detached" });
  await page.locator("#clusters").waitFor({ state: "hidden" });
});

test("a reset asks first", async () => {
  await w.show(page, "#/cluster");
  const topics = async () => (await w.lab("GET", "topics?internal=false&brief=true")).length;
  await press("Reset the cluster");
  await page.getByRole("dialog").getByText("are lost").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(await topics() > 0);
  await press("Reset the cluster");
  await page.getByRole("dialog").getByRole("button", { name: "Reset it" }).click();
  await page.getByRole("status").getByText("Reset the cluster: done").waitFor();
  assert.equal(await topics(), 0);
});

test("a token is asked for, kept for the tab, and sent", async () => {
  const other = await startWorld("--set", "lab.token=sesame");
  try {
    await other.lab("PUT", "snapshots/kept");
    const guarded = await other.open();
    const dialog = guarded.getByRole("dialog");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await guarded.getByRole("alert").getByRole("button", { name: "Enter the token" }).click();
    await dialog.getByLabel("Token").fill("wrong");
    await guarded.keyboard.press("Enter");
    await dialog.getByText("does not accept this token").waitFor();
    await dialog.getByLabel("Token").fill("sesame");
    await guarded.keyboard.press("Enter");
    await guarded.locator("#clock [data-clock]").waitFor();
    await guarded.locator("#problem").waitFor({ state: "hidden" });
    await guarded.reload();
    await guarded.locator("#clock [data-clock]").waitFor();
    assert.equal(await dialog.count(), 0);
    assert.deepEqual(await guarded.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [1, 0, ""]);
    await guarded.locator("#clock").getByRole("button", { name: "Freeze" }).click();
    await guarded.locator('[data-hangs="clock"]').waitFor();
    await other.show(guarded, "#/cluster");
    const begun = guarded.waitForEvent("download");
    await guarded.getByRole("button", { name: "Download the archive of kept" }).click();
    assert.equal((await readFile(await (await begun).path())).readUInt32LE(0), 0xfd2fb528, "zstd");
    await guarded.getByRole("link", { name: "state" }).click();
    await guarded.locator("#state pre").getByText("cluster_id ").waitFor();
    assert.equal(await guarded.locator("#topics").isVisible(), false);
    await accessible(guarded, "#/state");
    await other.show(guarded, "#/requests?follow=true&api=Metadata");
    await guarded.getByLabel("follow").waitFor();
    const admin = other.kafka.admin();
    await admin.connect();
    await admin.listTopics();
    await admin.disconnect();
    await guarded.locator("#requests tbody tr").first().waitFor();
    const stranger = await other.open();
    await stranger.getByRole("dialog").waitFor();
    assert.equal(await stranger.evaluate(() => sessionStorage.length), 0);
    other.refused(401);
    assert.deepEqual([other.complaints, other.strangers], [[], []]);
  } finally {
    await other.stop();
  }
});

test("the console has no error, and no request went to another host", () => {
  assert.deepEqual(w.complaints, []);
  assert.deepEqual(w.strangers, []);
});
