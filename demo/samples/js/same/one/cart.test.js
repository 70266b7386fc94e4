// Another folder has tests of the same names; two of these fail. For Jest, Mocha and node:test.
const { strictEqual } = require("assert");
const { describe, it } = globalThis.describe ? globalThis : require("node:test");

describe("Cart", () => {
  it("totals", () => strictEqual(41, 42));
  it("is called like the next one", () => strictEqual(41, 42));
  it("is called like the next one", () => strictEqual(42, 42));
});
