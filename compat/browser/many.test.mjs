// Ten thousand open transactions and a thousand topics do not make the page slow: it comes in pages, and what an update
// fetches and shows does not grow with them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openTransactions } from "./broker.mjs";
import { startWorld, until } from "./world.mjs";

const mostElements = 1500; // of the document
const mostBytes = 64 << 10; // that one update of all that is shown fetches
let w, page;

before(async () => {
  w = await startWorld();
  const large = { key: "k".repeat(10000), value: "v".repeat(10000), partition: 0 };
  await w.lab(
    "POST",
    "topics",
    Array.from({ length: 1000 }, (_, i) => ({
      name: `topic-${String(i).padStart(4, "0")}`,
      partitions: i === 0 ? 50 : 9,
      records: i === 0 ? Array(40).fill(large) : [],
    })),
  );
  await openTransactions(w.broker.address, 10000, "topic-0000");
  page = await w.open();
});

after(() => w?.stop());

// cost returns how many bytes the last update has fetched, and how many elements there are. An update begins with the
// request for what hangs. The page updates itself when it is seen again, so that nothing here waits for its next update.
async function cost(hash) {
  let update = [],
    updates = 0,
    pending = 0,
    changed = Date.now();
  const change = (n) => {
    pending += n;
    changed = Date.now();
  };
  const begun = (r) => {
    if (!r.url().includes("/v1/")) return;
    if (r.url().includes("/v1/hanging")) {
      update = [];
      updates++;
    }
    update.push(r);
    change(1);
  };
  const ended = (r) => r.url().includes("/v1/") && change(-1);
  const quiet = (what, n) => until(what, () => updates >= n && pending <= 0 && Date.now() - changed > 400);
  page.on("request", begun);
  page.on("requestfinished", ended);
  page.on("requestfailed", ended);
  await w.show(page, hash);
  await page.locator(".view table:visible").last().waitFor();
  await quiet("the first update", 1);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await quiet("another update", updates + 1);
  for (const event of ["request", "requestfinished", "requestfailed"]) page.removeAllListeners(event);
  const sizes = await Promise.all(update.map((r) => r.sizes()));
  return {
    bytes: sizes.reduce((n, one) => n + one.responseBodySize, 0),
    requests: update.length,
    elements: await page.evaluate(() => document.getElementsByTagName("*").length),
  };
}

test("what an update fetches and shows is bounded", async (t) => {
  for (const hash of [
    "#/",
    "#/transactions",
    "#/transactions?open=true",
    "#/topics",
    "#/topics/topic-0000",
    "#/topics/topic-0000/0",
    "#/requests",
    "#/topics?internal=true",
  ]) {
    const { bytes, requests, elements } = await cost(hash);
    t.diagnostic(`${hash}: ${bytes} bytes in ${requests} requests an update, ${elements} elements`);
    assert.ok(bytes > 0 && bytes < mostBytes, `${hash}: ${bytes} bytes an update`);
    assert.ok(elements < mostElements, `${hash}: ${elements} elements`);
  }
});

test("lists come in pages, and are filtered by name", async () => {
  await w.show(page, "#/");
  await page.getByText("9,992 more transactions are open.").waitFor();
  await w.show(page, "#/topics");
  await page.getByText("50 of 1,000").waitFor();
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByRole("link", { name: "topic-0050", exact: true }).waitFor();
  assert.equal(await page.locator("#topics tbody tr").count(), 50);
  await page.getByRole("link", { name: "First page" }).click();
  await page.getByRole("link", { name: "topic-0000", exact: true }).waitFor();
  await w.show(page, "#/transactions?after=many-05000");
  await page.getByRole("link", { name: "many-05001", exact: true }).waitFor();
  await page.getByRole("searchbox").fill("many-*99");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByText("50 of 100").waitFor();
  await page.getByRole("link", { name: "many-00099", exact: true }).waitFor();
});

test("the console has no error, and no request went to another host", () => {
  assert.deepEqual(w.complaints, []);
  assert.deepEqual(w.strangers, []);
});
