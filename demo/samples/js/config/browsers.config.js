const { defineConfig } = require("@playwright/test");

// No browser is started: the tests only ask which project they belong to.
module.exports = defineConfig({ testDir: "../browsers", projects: [{ name: "chromium" }, { name: "firefox" }] });
