"use strict";
// A policy of rows; the form of a study, in form.js, has the fields of its parameters too.
const Compose = (() => {
  const { element, layout, config, look } = Report;
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const functions = Object.fromEntries(data.functions.map((one) => [one.name, one]));
  const METHODS = {
    warmup: [
      { name: "length", unit: "iterations", doc: "the ramp", default: "0.05dur", required: true },
      { name: "start", unit: "learning rate", doc: "LR at t = 0", default: "0.0" },
    ],
    scaled: [{ name: "factor", unit: "times", doc: "what every LR is multiplied by", default: "0.5", required: true }],
    repeated: [{ name: "every", unit: "iterations", doc: "after which it starts again", default: "0.25dur", required: true }],
  };
  let rows = [{ function: "TRI", arguments: { ...functions.TRI.example } }];

  // The text of the rows ----------------------------------------------------------------------------------------------

  const declared = (row) => (row.method ? METHODS[row.method] : functions[row.function].parameters);

  function listed(row, parameters = declared(row)) {
    const given = parameters.filter((one) => one.required || (row.arguments[one.name] ?? "") !== one.default);
    return given.filter((one) => (row.arguments[one.name] ?? "") !== "").map((one) => `${one.name}=${row.arguments[one.name]}`);
  }

  function textOf() {
    return rows.map((row, place) => {
      if (row.method) return `.${row.method}(${listed(row).join(", ")})`;
      const text = row.text ?? `${row.function}(${listed(row).join(", ")})`;
      return place ? `.then(${text}, at=${row.at})` : text;
    }).join("");
  }

  // A row -------------------------------------------------------------------------------------------------------------

  // What a slider stands for: learning rates by their logarithm, lengths as shares of the budget, factors as they are.
  const SLIDERS = {
    "learning rate": { min: -5, max: 1, step: 0.02, of: (v) => Number(10 ** v).toPrecision(3) / 1, at: (t) => Math.log10(Number(t) || 1e-5) },
    iterations: { min: 0.01, max: 1, step: 0.01, of: (v) => `${v}dur`, at: (t) => (/dur$/.test(t) ? parseFloat(t) : NaN) },
    factor: { min: 0.01, max: 1, step: 0.01, of: (v) => `${v}`, at: Number },
    times: { min: 0.05, max: 3, step: 0.05, of: (v) => `${v}`, at: Number },
  };

  function field(row, one, place, changed = retext) {
    const id = `row-${place}-${one.name}`;
    const input = element("input", { id, value: row.arguments[one.name] ?? one.default, autocomplete: "off", spellcheck: false });
    input.title = one.allowed ?? "";
    const scale = SLIDERS[one.unit];
    const label = element("label", { htmlFor: id, title: one.doc }, one.name, " ", element("small", {}, one.unit));
    const set = (value) => ((row.arguments[one.name] = value), changed());
    if (!scale || /^\[|^None$/.test(input.value)) {
      input.addEventListener("input", () => set(input.value));
      return element("p", { className: "field" }, label, input);
    }
    const slider = element("input", { type: "range", min: scale.min, max: scale.max, step: scale.step });
    slider.setAttribute("aria-label", `${one.name}, as a slider`);
    const follow = () => { const at = scale.at(input.value); if (Number.isFinite(at)) slider.value = at; };
    follow();
    input.addEventListener("input", () => (follow(), set(input.value)));
    slider.addEventListener("input", () => ((input.value = scale.of(Number(slider.value))), set(input.value)));
    return element("p", { className: "field" }, label, element("span", { className: "pair" }, input, slider));
  }

  function chooser(row, place) {
    const groups = Map.groupBy ? Map.groupBy(data.functions, (one) => one.group) : new Map([["functions", data.functions]]);
    const choice = element("select", {}, ...[...groups].map(([group, all]) => element(
      "optgroup", { label: group }, ...all.map((one) => element("option", { value: one.name }, one.name)),
    )));
    choice.value = row.function;
    choice.setAttribute("aria-label", `Function of row ${place + 1}`);
    choice.addEventListener("change", () => {
      Object.assign(row, { function: choice.value, arguments: { ...functions[choice.value].example } });
      show();
    });
    return choice;
  }

  function rowOf(row, place) {
    const title = element("p", { className: "head" }, place && !row.method ? "then " : "");
    if (row.text !== undefined) title.append(element("code", {}, row.text));
    else title.append(row.method ? element("strong", {}, row.method) : chooser(row, place));
    if (place) {
      const remove = element("button", { type: "button", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove row ${place + 1}`);
      remove.addEventListener("click", () => (rows.splice(place, 1), show(), byId("adding").querySelector("button").focus()));
      title.append(remove);
    }
    const made = element("li", {}, title);
    if (place && !row.method) {
      const at = { arguments: { get at() { return row.at; }, set at(value) { row.at = value; } } };
      made.append(field(at, { name: "at", unit: "iterations", doc: "where it starts" }, place));
    }
    if (row.text === undefined) {
      made.append(...declared(row).map((one) => field(row, one, place)));
      if (!row.method) made.append(element("p", { className: "half about" }, functions[row.function].about, " ", element("code", {}, functions[row.function].formula)));
    }
    return made;
  }

  function show() {
    byId("rows").replaceChildren(...rows.map(rowOf));
    retext();
  }

  byId("adding").append(...["then", ...Object.keys(METHODS)].map((name) => {
    const button = element("button", { type: "button", textContent: `+ ${name}` });
    button.addEventListener("click", () => {
      const own = METHODS[name]?.map((one) => [one.name, one.default]);
      rows.push(own ? { method: name, arguments: Object.fromEntries(own) }
        : { function: "LINEAR", arguments: { ...functions.LINEAR.example }, at: "0.5dur" });
      show();
      byId("rows").lastElementChild.querySelector("select, input")?.focus();
    });
    return button;
  }));

  // What the server says of the text ------------------------------------------------------------------------------------

  let asked = 0;
  let last = null;

  function complain(place, sentence) {
    byId(place).textContent = sentence;
    byId(place).hidden = !sentence;
  }

  function retext() {
    byId("text").value = textOf();
    ask(false);
  }

  async function ask(rebuild) {
    const number = ++asked;
    await new Promise((done) => setTimeout(done, 120));
    if (number !== asked) return;
    const query = new URLSearchParams({ text: byId("text").value, steps: byId("steps").value, epoch: byId("epoch").value });
    const said = await (await fetch(`/policy?${query}`)).json();
    if (number !== asked) return;
    complain("error", said.error ?? "");
    if (said.error) return;
    last = said;
    if (rebuild) (rows = said.rows), byId("rows").replaceChildren(...rows.map(rowOf));
    byId("code").textContent = said.code;
    byId("note").textContent = said.note ?? "";
    draw();
  }

  function draw() {
    const { x = [], y = [] } = last ?? {};
    const trace = { x, y, type: "scatter", mode: "lines", line: { ...look(0), width: 2 }, hovertemplate: "%{y:.4g} at %{x:,}<extra></extra>" };
    const made = layout("lr");
    if (byId("log").checked) Object.assign(made.yaxis, { type: "log", rangemode: "normal" });
    Plotly.react("curve", [trace], made, config);
  }
  Report.redrawn.set("curve", draw);

  byId("text").addEventListener("input", () => ask(true));
  for (const id of ["steps", "epoch"]) byId(id).addEventListener("input", () => ask(false));
  byId("log").addEventListener("change", draw);
  byId("copy").addEventListener("click", () => Report.copy(byId("code").textContent, "PyTorch code"));

  // Named policies ------------------------------------------------------------------------------------------------------

  function showNamed(named) {
    const own = named.filter((one) => one.own);
    const options = (list) => list.map((one) => element("option", { value: one.text, textContent: one.name }));
    byId("named").replaceChildren(
      element("option", { value: "" }, "choose …"),
      ...(own.length ? [element("optgroup", { label: "saved" }, ...options(own))] : []),
      element("optgroup", { label: "catalogs" }, ...options(named.filter((one) => !one.own))),
    );
  }
  showNamed(data.named);
  byId("named").addEventListener("change", ({ target }) => {
    if (!target.value) return;
    byId("text").value = target.value;
    const name = target.selectedOptions[0].textContent;
    for (const id of ["save-name", "policy-name"]) if (byId(id)) byId(id).value = name.split("/").at(-1);
    ask(true);
  });

  show();
  if (!byId("form")) return null;

  async function named(address, name) {
    try {
      showNamed(await Live.change(address, { name, text: byId("text").value }));
      complain("error", "");
    } catch (error) {
      complain("error", error.message);
    }
  }
  byId("save").addEventListener("click", () => named("/named", byId("save-name").value));
  byId("forget").addEventListener("click", () => named("/named/forget", byId("save-name").value));

  return { data, complain, field, listed };
})();
