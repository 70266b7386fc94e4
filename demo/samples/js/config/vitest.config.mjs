export default { test: { globals: true, retry: 1, include: ["spec/*.spec.js"] } };
