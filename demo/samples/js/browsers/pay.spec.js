const { test, expect } = require("@playwright/test");

test("pays in every browser", async ({}, info) => {
  expect(info.project.name).toBe("firefox");
});
test("shows the badge", async () => {});
