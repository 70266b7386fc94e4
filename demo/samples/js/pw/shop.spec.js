// Playwright Test without a browser: its retries and its reporters are what counts here.
const { expect, test } = require("@playwright/test");
const { Cart, badge, prices, revision } = require("../shop.js");

test.describe("shop window", () => {
  for (const [article, price] of Object.entries(prices)) {
    test(`shows the price of ${article}`, () => {
      const cart = new Cart();
      cart.add(article);
      expect(cart.total()).toBe(price);
    });
  }
  test("opens at nine", async ({}, info) => {
    console.log("knocking, try", info.retry + 1);
    if (revision === 2 && info.retry === 0) throw new Error("page.goto: Timeout 30000ms exceeded.");
  });
  test("counts pieces", () => {
    const cart = new Cart();
    cart.add("apple", 3);
    expect(cart.count()).toBe(3);
  });
  test("badge stops at 99", () => {
    expect(badge(100)).toBe("99+");
  });
  test.skip("shows vouchers", () => {});
  test("knows roman numerals", () => {
    test.fail();
    expect(badge(4)).toBe("IV");
  });
  test("answers in time", async () => {
    test.setTimeout(100);
    await new Promise((resolve) => setTimeout(resolve, 400));
  });
});
