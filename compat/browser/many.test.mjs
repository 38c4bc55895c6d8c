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
  await w.lab("POST", "topics", Array.from({ length: 1000 }, (_, i) => ({ name: `topic-${String(i).padStart(4, "0")}`, partitions: i === 0 ? 50 : 9,
    records: i === 0 ? Array(40).fill(large) : [] })));
  await openTransactions(w.broker.address, 10000, "topic-0000");
  page = await w.open();
});

after(() => w?.stop());

// cost returns how many bytes an update fetches, and how many elements there are. The page updates itself when it is seen
// again, too, so that nothing here waits for its next update.
async function cost(hash) {
  let bytes = 0, updates = 0, pending = 0;
  const begun = (r) => { pending += r.url().includes("/v1/") ? 1 : 0; };
  const done = async (r) => {
    if (!r.url().includes("/v1/")) return;
    bytes += (await r.sizes()).responseBodySize;
    updates += r.url().includes("/v1/hanging") ? 1 : 0;
    pending--;
  };
  page.on("request", begun);
  page.on("requestfinished", done);
  await w.show(page, hash);
  await page.locator(".view table:visible").last().waitFor();
  await until("quiet", () => pending === 0);
  bytes = updates = 0;
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await until("an update", () => updates > 0 && pending === 0);
  page.removeListener("request", begun);
  page.removeListener("requestfinished", done);
  return { bytes: bytes / updates, elements: await page.evaluate(() => document.getElementsByTagName("*").length) };
}

test("what an update fetches and shows is bounded", async (t) => {
  for (const hash of ["#/", "#/transactions", "#/transactions?open=true", "#/topics", "#/topics/topic-0000", "#/topics/topic-0000/0", "#/requests",
    "#/topics?internal=true"]) {
    const { bytes, elements } = await cost(hash);
    t.diagnostic(`${hash}: ${Math.round(bytes)} bytes an update, ${elements} elements`);
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
