module.exports = {
  rootDir: "..",
  testMatch: ["<rootDir>/spec/*.spec.js"],
  setupFilesAfterEnv: ["<rootDir>/config/jest-setup.js"],
  reporters: ["default", "jest-junit", "jest-ctrf-json-reporter", ["jest-trx-results-processor", { outputFile: "jest.trx" }]],
};
