// What the page shows, in a browser: each check looks at it as a person does.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startMembers } from "./broker.mjs";
import { accessible, startWorld, until } from "./world.mjs";

const markup = `<img src=x onerror="window.broken = true"><script>window.broken = true</script>`;
const rightToLeft = "\u202Egnp.exe\u2066\u200F";
let w, page;

before(async () => {
  w = await startWorld();
  await w.lab("POST", "topics", [
    { name: "orders", partitions: 1, records: [{ key: "opened", value: "the shop" }] },
    { name: "payments", partitions: 1 },
    { name: "shipments", partitions: 12 },
  ]);
  const done = await w.producer("billing-1");
  let t = await done.transaction();
  await w.send(t, "paid", 4);
  await t.commit();
  t = await done.transaction();
  await w.send(t, "refused", 2);
  await t.abort();
  const shipping = await w.producer("shipping-0");
  t = await shipping.transaction();
  await w.commitOffset(t, "shipping", 3);
  await t.commit();
  await w.send(await (await w.producer("billing-3")).transaction(), "unfinished", 3);
  page = await w.open();
});

after(() => w?.stop());

test("a partition's strip shows fates, in the order of the log, and where readers stand", async () => {
  await w.show(page, "#/topics/orders/0");
  await page.locator("ol.strip li.open").waitFor();
  const items = await page
    .locator("ol.strip li")
    .evaluateAll((all) => all.map((li) => li.dataset.fate || li.dataset.line));
  assert.deepEqual(items, [
    "plain",
    "committed",
    "shipping",
    "marker",
    "aborted",
    "marker",
    "last stable offset",
    "open",
    "high watermark",
  ]);
  assert.match(await page.locator("ol.strip").innerText(), /COMMIT[\s\S]*ABORT[\s\S]*last stable offset 9/);
  assert.match(
    await page.locator(".where").innerText(),
    /stand at offset 9, 3 offsets before the end.* transaction of billing-3, which has been open for/,
  );
  await page.getByRole("button", { name: /^aborted offset 6 to 7/ }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), "offset-6");
});

test("pictures of the page are made when they are wanted", { skip: !process.env.PICTURES }, async () => {
  const stock = await (await w.producer("stock-5")).transaction();
  await w.send(stock, "lost", 1, "payments");
  await w.lab("POST", "transactions/stock-5/hang");
  await w.lab("POST", "faults", {
    name: "commit gap",
    match: { api: "EndTxn", transactionalId: "billing-*" },
    when: { nth: 2 },
    do: { loseAnswer: true },
  });
  for (const [name, hash, options] of [
    ["light", "#/topics/orders/0", {}],
    ["dark", "#/", { colorScheme: "dark" }],
    ["group", "#/groups/shipping", {}],
    ["narrow", "#/topics/orders/0", { viewport: { width: 360, height: 800 } }],
  ]) {
    const on = await w.open(options);
    await w.show(on, hash);
    await on.locator('[data-hangs="payments-0"]').waitFor();
    await on.locator(".view:visible").last().locator("table, .none, a").first().waitFor();
    await w.picture(on, name);
    await on.context().close();
  }
  await w.lab("DELETE", "faults");
  const { producerId } = (await w.lab("GET", "hanging")).hanging[0];
  await w.lab("POST", `producers/${producerId}/abort`, { topic: "payments", partition: 0 });
});

test("the page updates itself, and what has the focus or is selected stays", async () => {
  await w.show(page, "#/topics/orders/0");
  const button = page.getByRole("button", { name: /^committed offset 1 to 4/ });
  await button.focus();
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("#offset-1 td.value")));
  const more = await (await w.producer("billing-2")).transaction();
  await w.send(more, "more", 1);
  await page.locator('ol.strip li[data-offset="12"]').waitFor();
  assert.match(
    await page.evaluate(() => document.activeElement.getAttribute("aria-label")),
    /^committed offset 1 to 4/,
  );
  assert.equal(await page.evaluate(() => String(getSelection())), "key-0");
  await more.abort();
  await page.locator('ol.strip li[data-offset="12"].aborted').waitFor();
});

test("paused, the page stays as it is", async () => {
  await w.show(page, "#/clock");
  const now = () => page.locator("[data-clock]").getAttribute("data-clock");
  await page.locator("[data-clock]").waitFor();
  const first = await now();
  await until("an update", async () => (await now()) !== first);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused").waitFor();
  let asked = 0;
  page.on("request", () => asked++);
  await page.waitForLoadState("networkidle");
  asked = 0;
  await w.lab("POST", "await", { idle: "100ms", timeout: "5s" });
  await page.waitForTimeout(2500); // longer than an update takes to come
  assert.equal(asked, 0);
  page.removeAllListeners("request");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Live", { exact: true }).waitFor();
});

test("an address opens the same place again", async () => {
  const again = await w.open();
  await w.show(again, "#/topics/orders/0?offset=9");
  await again.locator("tr.chosen").first().waitFor();
  assert.match(await again.locator("tr.chosen").first().innerText(), /unfinished/);
  assert.equal(await again.locator("ol.strip li[data-fate]").first().getAttribute("data-offset"), "9");
  await w.show(again, "#/transactions/billing-1");
  await again.getByRole("heading", { name: "billing-1" }).waitFor();
  await again.getByRole("cell", { name: "CompleteCommit" }).first().waitFor();
  await again.goBack();
  await again.locator("ol.strip").waitFor();
  await again.context().close();
});

test("a group shows its lag, why it stands there, and offsets that wait in a transaction", async () => {
  const from = await w.producer("billing-6");
  let t = await from.transaction();
  await w.commitOffset(t, "readers", 9);
  await t.commit();
  t = await from.transaction();
  await w.commitOffset(t, "readers", 2);
  await w.show(page, "#/groups/readers");
  const row = page.locator("#groups tbody tr").first();
  await row.getByText("in a transaction").waitFor();
  assert.match(
    await row.innerText(),
    /It waits for billing-3, open for .*, which will be aborted in .* A transaction will change the offset/,
  );
  await t.commit();
  await row.getByText("The group has no member.").waitFor();
  const [group] = await w.lab("GET", "groups?name=readers");
  const cells = await row.locator("td").allInnerTexts();
  assert.deepEqual(cells.slice(0, 3), ["orders-0", "2", "9"]);
  assert.equal(cells[4], String(group.lag));
  assert.ok(group.lag > 0);
});

test("members of a group are shown, with what they read", async () => {
  const consumer = w.kafka.consumer({ groupId: "stock" });
  await consumer.connect();
  await consumer.subscribe({ topics: ["shipments"] });
  await consumer.run({ eachMessage: async () => {} });
  await w.show(page, "#/groups/stock");
  await page.getByRole("cell", { name: "shipments-0, shipments-1, shipments-2, shipments-3" }).waitFor();
  assert.match(await page.getByRole("group", { name: "Members of stock" }).innerText(), /billing/);
  await consumer.disconnect();
});

test("share and streams groups are shown in their own words", async () => {
  const members = await startMembers(w.broker.address, "shipments");
  try {
    await w.show(page, "#/groups/sharers");
    await page.getByRole("heading", { name: "Where delivery stands" }).waitFor();
    await page.getByRole("columnheader", { name: "Start" }).waitFor();
    await page.getByRole("cell", { name: "shipments-0, shipments-1, shipments-2, shipments-3" }).waitFor();
    await w.show(page, "#/groups/counters");
    await page.getByRole("cell", { name: "0_0, 0_1, 0_2, 0_3" }).waitFor();
    await page.getByRole("columnheader", { name: "Tasks" }).waitFor();
  } finally {
    await members.stop();
  }
});

test("axe-core finds nothing wrong, light, dark and narrow", async () => {
  const dark = await w.open({ colorScheme: "dark" });
  const narrow = await w.open({ viewport: { width: 360, height: 800 } });
  const all = ["#/", "#/topics/orders/0", "#/faults", "#/groups/readers", "#/cluster"];
  for (const [where, on, n] of [
    ["light", page, 5],
    ["dark", dark, 2],
    ["narrow", narrow, 3],
  ]) {
    for (const hash of all.slice(0, n)) {
      await w.show(on, hash);
      await on.getByText("will be aborted in").first().waitFor();
      await on.locator(".view:visible").last().locator("> *").first().waitFor();
      await accessible(on, `${where} ${hash}`);
    }
  }
  await dark.context().close();
  await narrow.context().close();
});

test("hostile keys, values and names are text", async () => {
  const names = { long: "k".repeat(10000), zero: "a\u0000b", rtl: rightToLeft };
  await w.lab("POST", "topics", [
    {
      name: "hostile",
      partitions: 1,
      records: [
        { key: names.long, value: names.rtl, headers: { [markup]: markup } },
        { key: { base64: Buffer.from(names.zero).toString("base64") }, value: markup },
      ],
    },
  ]);
  await w.show(page, "#/topics/hostile/0");
  await page.locator("td.value").getByText(markup, { exact: true }).first().waitFor();
  const text = await page.locator("#topics tbody").innerText();
  assert.match(text, /of 10,000 bytes/);
  assert.ok(text.includes(Buffer.from(names.zero).toString("base64")), "bytes that are no text");
  assert.equal(
    await page.locator("td.value bdi").getByText(rightToLeft, { exact: true }).count(),
    1,
    "text of another direction stands apart",
  );
  await accessible(page, "hostile records");

  const t = await (await w.producer(markup)).transaction();
  await w.commitOffset(t, names.rtl + markup, 1, "hostile");
  await t.commit();
  await w.lab("POST", "faults", { name: markup, match: { api: "Heartbeat", clientId: markup }, do: { delay: "1ms" } });
  for (const hash of [
    "#/",
    "#/transactions/" + encodeURIComponent(markup),
    "#/groups/" + encodeURIComponent(names.rtl + markup),
    "#/faults",
    "#/requests",
  ]) {
    await w.show(page, hash);
    await page.locator(".view:visible").getByText(markup).first().waitFor();
    await page.locator(".view table:visible").first().waitFor();
    assert.equal(await page.evaluate(() => window.broken), undefined, hash);
    assert.equal(await page.locator("main img, main script").count(), 0, hash);
    assert.equal(
      await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
      true,
      hash + " is too wide",
    );
  }
  await w.lab("DELETE", "faults");
});

test("it is used by keyboard, and says what begins to hang", async () => {
  const still = await w.open({ reducedMotion: "reduce" });
  await still.locator('[data-hangs="billing-3"]').waitFor();
  await still.keyboard.press("Tab");
  assert.equal(await still.evaluate(() => document.activeElement.textContent), "To the content");
  assert.ok(
    await still.evaluate(() => document.activeElement.getBoundingClientRect().left >= 0),
    "the skip link is seen",
  );
  await still.keyboard.press("Enter");
  assert.equal(await still.evaluate(() => document.activeElement.id), "main");
  await still.keyboard.press("Tab");
  assert.notEqual(await still.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
  assert.equal(
    await still.evaluate(() => getComputedStyle(document.getElementById("live"), "::before").animationName),
    "none",
  );
  await w.lab("POST", "clock", { freeze: true });
  await still.getByRole("log").getByText("One more thing hangs.").waitFor();
  await still.locator('[data-hangs="clock"]').waitFor();
  await w.lab("POST", "clock", { resume: true });
  await still.context().close();
});

test("requests are filtered by the address, and followed as they come", async () => {
  await w.show(page, "#/requests");
  await page.getByLabel("Transactional ID").fill("billing-*");
  await page.getByLabel("API").fill("EndTxn");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.waitForURL(/#\/requests\?api=EndTxn&transactionalId=billing-\*/);
  await page.locator("#requests tbody tr").first().waitFor();
  await until("only EndTxn", async () =>
    (await page.locator("#requests tbody tr").allInnerTexts()).every((r) => /EndTxn v\d/.test(r) && /billing-/.test(r)),
  );
  const rows = page.locator("#requests tbody tr");
  const before = await rows.count();
  await page.getByLabel("follow").check();
  await page.waitForURL(/follow=true/);
  const t = await (await w.producer("billing-7")).transaction();
  await w.send(t, "followed");
  await t.commit();
  await rows.getByText("billing-7").waitFor();
  // The view that follows begins without rows, and gets the earlier requests as they are streamed.
  await until("the earlier requests, and one more", async () => (await rows.count()) === before + 1);
});

test("without the lab the page shows, and has no button that changes something", async () => {
  const other = await startWorld("--lab=false");
  try {
    const on = await other.open();
    for (const hash of ["#/", "#/faults", "#/clock", "#/cluster", "#/topics/orders/0"]) {
      await other.show(on, hash);
      await on.locator("body.readonly").waitFor();
      await on.locator(".view > *").first().waitFor();
      assert.deepEqual(await on.getByRole("button").allInnerTexts(), ["Pause"], hash);
      assert.equal(await on.getByRole("textbox").count(), 0, hash);
    }
    other.refused(404);
    assert.deepEqual(other.complaints, []);
  } finally {
    await other.stop();
  }
});

test("the console has no error, and no request went to another host", () => {
  assert.deepEqual(w.complaints, []);
  assert.deepEqual(w.strangers, []);
});
