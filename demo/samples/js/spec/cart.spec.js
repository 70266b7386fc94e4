// Runs under Mocha, Jest and Vitest alike: all three give describe and it.
const assert = require("node:assert");
const { Cart, badge, prices, revision } = require("../shop.js");

let asked = 0;

describe("Cart", () => {
  let cart;
  beforeEach(() => {
    cart = new Cart();
  });

  describe("#add()", () => {
    for (const [article, price] of Object.entries(prices)) {
      it(`charges ${price} for ${article}`, () => {
        cart.add(article);
        assert.strictEqual(cart.total(), price);
      });
    }
    it("refuses an unknown article", () => {
      assert.throws(() => cart.add("unicorn"), RangeError);
    });
    it.skip("sells vouchers", () => {
      cart.add("voucher");
    });
  });

  describe("#count()", () => {
    it("is 0 at first", () => {
      assert.strictEqual(cart.count(), 0);
    });
    it("counts pieces, not articles", () => {
      cart.add("apple", 3);
      assert.strictEqual(cart.count(), 3);
    });
  });
});

describe("badge", () => {
  for (const [count, text] of [[0, ""], [1, "1"], [99, "99"], [100, "99+"]]) {
    it(`shows "${text}" for ${count}`, () => {
      assert.strictEqual(badge(count), text);
    });
  }
  it("is drawn <b>bold</b> & \u2714", async () => {
    console.log("drawing <b>badge</b>");
    await new Promise((resolve) => setTimeout(resolve, revision === 2 ? 300 : 15));
  });
  it("knows roman numerals", () => {
    assert.strictEqual(badge(4), "IV", "known since the beginning");
  });
  it("is fetched from the server", () => {
    asked += 1;
    if (revision === 2 && asked === 1) throw new Error("connect ECONNREFUSED badge.test:443");
  });
});
