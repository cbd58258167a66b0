// Uses the module as a program would, and compares.
"use strict";

const assert = require("node:assert");
const { Cache } = require(process.argv[2]);

const later = (value) => new Promise((done) => setTimeout(done, 20, value));

(async () => {
  const cache = new Cache(100, 60_000);
  let calls = 0;
  const load = () => {
    calls += 1;
    return later({ name: "chair" });
  };
  const answers = await Promise.all(Array.from({ length: 50 }, () => cache.getOrLoad("7", load)));
  assert.strictEqual(calls, 1, "one load for fifty callers");
  assert.ok(answers.every((answer) => answer === answers[0]));
  assert.deepStrictEqual(answers[0], { name: "chair" });
  assert.strictEqual(await cache.getOrLoad("7", load), answers[0]);
  assert.strictEqual(cache.coalesced, 49);

  for (let time = 0; time < 2; time += 1) {
    assert.strictEqual(await cache.getOrLoad("none", () => later(undefined)), undefined);
  }
  assert.strictEqual(cache.loads, 2, "that there is none is remembered");

  const away = () => Promise.reject(new Error("the database is away"));
  await assert.rejects(cache.getOrLoad("8", away), /the database is away/);
  assert.strictEqual(await cache.getOrLoad("8", () => 8), 8, "the next call loads again");

  let before;
  await new Promise((begun) => {
    before = cache.getOrLoad("9", () => {
      begun();
      return later("old");
    });
  });
  cache.invalidate("9");
  assert.strictEqual(await before, "old");
  assert.strictEqual(cache.peek("9"), undefined, "a change has overtaken it");

  console.log(`wasm: ${calls} load for 50 callers, ${cache.loads} loads in all`);
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
