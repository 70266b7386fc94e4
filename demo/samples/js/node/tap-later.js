const t = require("tap");
const { badge } = require("../shop.js");

t.equal(badge(4), "4", "shows four");
t.skip("knows roman numerals");
t.todo("is animated");
t.ok(true, "blinks", { skip: "no screen here" });
t.ok(true, "beeps", { todo: "not before spring" });
