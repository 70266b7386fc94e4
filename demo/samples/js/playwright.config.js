module.exports = { testDir: "pw", retries: 1, workers: 1 };
