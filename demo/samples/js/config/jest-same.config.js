module.exports = { rootDir: "..", testMatch: ["<rootDir>/same/*/cart.test.js"], reporters: ["default", "jest-junit"] };
