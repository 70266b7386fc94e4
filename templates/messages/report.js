"use strict";
(() => {
  const HEIGHT = 34;
  const WORDS = { p: "passed", f: "failed", e: "error", s: "skipped" };
  const VERDICTS = { n: "new", k: "known", y: "flaky", x: "fixed", u: "failed" };
  const names = [], places = [], codes = [], seconds = [];
  for (const block of document.querySelectorAll("script.rows")) {
    const data = JSON.parse(block.textContent);
    for (let i = 0; i < data.rows.length; i += 4) {
      places.push(data.places[data.rows[i]]);
      names.push(data.rows[i + 1]);
      codes.push(data.rows[i + 2]);
      seconds.push(data.rows[i + 3]);
    }
    block.remove();
  }
  const find = (id) => document.getElementById(id);
  const box = find("list"), list = find("rows"), count = find("shown"), search = find("search"), order = find("order");
  const buttons = [...document.querySelectorAll("[data-filter]")];
  let lower = null, shown = new Uint32Array(0), filter = "", first = -1, last = -1;

  const text = (value) => {
    if (value < 0.0005) return value > 0 ? "<1 ms" : "0 s";
    if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
    if (value < 9.95) return `${value.toFixed(1)} s`;
    const whole = Math.round(value);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, "0")}s`;
    return `${Math.floor(whole / 3600)}h ${String(Math.floor(whole / 60) % 60).padStart(2, "0")}m`;
  };
  const group = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const matches = (code) => filter === "" || (filter === "red" ? code[0] === "f" || code[0] === "e"
    : filter === "p" ? code[0] === "p" && code[1] !== "y" : filter === "s" ? code[0] === "s" : code[1] === filter);

  const rank = (code) => (code[0] === "f" || code[0] === "e" ? 0 : code[1] === "y" ? 1 : 2);

  const span = (kind, content) => {
    const element = document.createElement("span");
    element.className = kind;
    element.textContent = content;
    return element;
  };
  const row = (position) => {
    const i = shown[position], code = codes[i], item = document.createElement("li");
    item.setAttribute("aria-setsize", shown.length);
    item.setAttribute("aria-posinset", position + 1);
    item.style.top = `${position * HEIGHT}px`;
    const verdict = VERDICTS[code[1]];
    item.append(span(`what is-${code[1] === "y" ? "y" : code[0]}`, verdict && code[1] !== "u" ? verdict : WORDS[code[0]]));
    const name = document.createElement(code.length > 2 ? "a" : "span");
    name.className = "name";
    if (code.length > 2) name.href = `#case-${code.slice(2)}`;
    const place = document.createElement("i");
    place.textContent = places[i];
    name.append(names[i], place);
    name.title = `${places[i] && `${places[i]}::`}${names[i]}`;
    item.append(name, span("time", text(seconds[i])));
    return item;
  };
  const draw = () => {
    const from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - 8);
    const to = Math.min(shown.length, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + 8);
    if (from === first && to === last) return;
    first = from; last = to;
    const rows = [];
    for (let position = from; position < to; position += 1) rows.push(row(position));
    list.replaceChildren(...rows);
  };
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && lower === null) lower = names.map((name, i) => `${places[i]}::${name}`.toLowerCase());
    let found = [];
    for (let i = 0; i < names.length; i += 1) {
      if (matches(codes[i]) && words.every((word) => lower[i].includes(word))) found.push(i);
    }
    if (order.value === "") found.sort((a, b) => rank(codes[a]) - rank(codes[b]));
    if (order.value === "time") found.sort((a, b) => seconds[b] - seconds[a]);
    if (order.value === "name") found.sort((a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : 0));
    shown = Uint32Array.from(found);
    list.style.height = `${shown.length * HEIGHT}px`;
    count.textContent = `${group(shown.length)} of ${group(names.length)}`;
    box.scrollTop = 0; first = last = -1;
    draw();
  };
  let timer = 0;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 120); });
  order.addEventListener("change", update);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      filter = button.dataset.filter;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      update();
    });
  }
  box.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  addEventListener("resize", draw);
  const reveal = () => {
    const target = location.hash.startsWith("#case-") && find(location.hash.slice(1));
    if (!target) return;
    for (let element = target; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  find("browse").hidden = false;
  update();
  reveal();
})();
