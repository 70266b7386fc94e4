const { After, Before, Given, Then, When } = require("@cucumber/cucumber");
const assert = require("node:assert");
const { Cart, revision } = require("../../shop.js");

let asked = 0;

Before({ tags: "@skip" }, () => "skipped");
After(function () {
  this.log(`the cart held ${this.cart ? this.cart.total() : 0} cents`);
});
Given("an empty cart", function () {
  this.cart = new Cart();
});
When("I add {int} {string}", function (quantity, article) {
  this.cart.add(article, quantity);
});
Then("the total is {int}", function (total) {
  assert.strictEqual(this.cart.total(), total);
});
Then("there are {int} pieces", function (count) {
  assert.strictEqual(this.cart.count(), count);
});
When("I pay with a voucher", () => "pending");
When("I leave", () => {});
When(/^I lea.e$/, () => {});
When("I ask the till", () => {
  asked += 1;
  if (revision === 2 && asked === 1) throw new Error("the till is busy");
});
