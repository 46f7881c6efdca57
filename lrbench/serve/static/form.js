"use strict";
// The form of a study: its policies, tasks, fields and rows; what is wrong stands at its field.
(() => {
  const { element } = Report;
  const { data, complain, field, listed } = Compose;
  const byId = (id) => document.getElementById(id);
  const modifiers = Object.fromEntries(data.modifiers.map((one) => [one.name, one]));
  const policies = new Map();
  const rows = { by: [], modifiers: [], settings: [], axes: [] };
  const touched = new Set();
  let asked = 0;

  // What is asked for -------------------------------------------------------------------------------------------------

  // Modifiers that are combined are one variant: each that goes with the one above is put beside it.
  function variants() {
    const made = [];
    for (const row of rows.modifiers) {
      const text = `${row.name}(${listed(row, modifiers[row.name].parameters).join(", ")})`;
      if (row.together && made.length) made.push([made.pop(), text].flat());
      else made.push(text);
    }
    return made;
  }

  const pairs = (key) => rows[key].map(({ name, value }) => [name, value]);

  function given() {
    const fields = Object.fromEntries(new FormData(byId("form")));
    const tasks = [...byId("tasks").querySelectorAll("input:checked")].map(({ value }) => value);
    const own = { by: pairs("by"), settings: pairs("settings"), axes: pairs("axes"), modifiers: variants() };
    return { ...fields, tasks, policies: Object.fromEntries(policies), ...own };
  }

  // What is wrong -----------------------------------------------------------------------------------------------------

  const places = [...document.querySelectorAll("[id^=e-]")].map(({ id }) => id.slice(2));

  function showErrors(errors) {
    for (const key of places) {
      const sentence = touched.has(key) ? errors[key] ?? "" : "";
      complain(`e-${key}`, sentence);
      const input = byId(`f-${key}`);
      input?.setAttribute("aria-invalid", String(Boolean(sentence)));
      input?.setAttribute("aria-describedby", `e-${key}`);
    }
  }

  async function check() {
    const number = ++asked;
    await new Promise((done) => setTimeout(done, 250));
    if (number !== asked) return;
    const { errors, text } = await Live.change("/check", given());
    if (number !== asked) return;
    byId("file").textContent = text;
    showErrors(errors);
  }

  function changed(key) {
    touched.add(key);
    check().catch((error) => Live.say(error.message));
  }

  // Rows --------------------------------------------------------------------------------------------------------------

  const labelled = (made, label) => (made.setAttribute("aria-label", label), made);

  function selected(names, row, label, set) {
    const made = labelled(element("select", {}, ...names.map((name) => element("option", { textContent: name }))), label);
    made.value = row.name;
    made.addEventListener("change", () => set(made.value));
    return made;
  }

  function typed(row, part, label, key, hint, list) {
    const made = labelled(element("input", { value: row[part], placeholder: hint, autocomplete: "off", spellcheck: false }), label);
    if (list) made.setAttribute("list", list);
    made.addEventListener("input", () => ((row[part] = made.value), changed(key)));
    return made;
  }

  function grouped(row, place) {
    const groups = [...new Set(data.modifiers.map(({ group }) => group))];
    const made = selected([], row, `Modifier ${place + 1}`, (name) => {
      Object.assign(row, begun(name));
      show("modifiers");
    });
    made.append(...groups.map((group) => element("optgroup", { label: `that ${group}` }, ...data.modifiers
      .filter((one) => one.group === group).map(({ name }) => element("option", { textContent: name })))));
    made.value = row.name;
    return made;
  }

  const begun = (name) => ({
    name, arguments: Object.fromEntries(modifiers[name].parameters.map((one) => [one.name, one.default])),
  });

  const MADE = {
    by: (row, place) => [
      selected(data.goals.map(({ name }) => name), row, `Goal ${place + 1}`, (name) => ((row.name = name), show("by"))),
      typed(row, "value", `Margin of goal ${place + 1}`, "by", "its margin, such as 50 or 5%"),
    ],
    modifiers: (row, place) => {
      const box = element("input", { type: "checkbox", checked: row.together ?? false });
      box.addEventListener("change", () => ((row.together = box.checked), changed("modifiers")));
      return [grouped(row, place), ...(place ? [element("label", {}, box, " with the one above")] : [])];
    },
    settings: (row, place) => [
      typed(row, "name", `Setting ${place + 1}`, "settings", "such as batch_size", "known-settings"),
      typed(row, "value", `Value of setting ${place + 1}`, "settings", "its value"),
    ],
    axes: (row, place) => [
      typed(row, "name", `Axis ${place + 1}`, "axes", "such as weight_decay", "known-settings"),
      typed(row, "value", `Values of axis ${place + 1}`, "axes", "such as 0.0, 1e-4"),
    ],
  };

  function rowOf(key, row, place) {
    const remove = labelled(element("button", { type: "button", textContent: "Remove" }), `Remove ${byId(`t-${key}`).textContent}, row ${place + 1}`);
    remove.addEventListener("click", () => {
      rows[key].splice(place, 1);
      show(key);
      document.querySelector(`[data-adds=${key}]`).focus();
    });
    const made = element("li", {}, element("p", { className: "head" }, ...MADE[key](row, place), remove));
    if (key === "modifiers") {
      const { about, parameters } = modifiers[row.name];
      made.append(...parameters.map((one) => field(row, one, `m${place}`, () => changed("modifiers"))));
      made.append(element("p", { className: "half about" }, about));
    }
    if (key === "by") made.append(element("p", { className: "half about" }, data.goals.find(({ name }) => name === row.name).about));
    return made;
  }

  function show(key) {
    byId(`rows-${key}`).replaceChildren(...rows[key].map((row, place) => rowOf(key, row, place)));
    byId(`part-${key}`).hidden = !rows[key].length;
    changed(key);
  }

  const FIRST = {
    by: () => ({ name: data.goals[0].name, value: "" }),
    modifiers: () => begun("PLP"),
    settings: () => ({ name: "", value: "" }),
    axes: () => ({ name: "", value: "" }),
  };

  for (const button of byId("more").children) {
    const key = button.dataset.adds;
    button.addEventListener("click", () => {
      rows[key].push(FIRST[key]());
      show(key);
      byId(`rows-${key}`).lastElementChild.querySelector("select, input").focus();
    });
  }

  // Policies and tasks ------------------------------------------------------------------------------------------------

  function showPolicies() {
    byId("chosen").replaceChildren(...[...policies].map(([name, text]) => {
      const remove = labelled(element("button", { type: "button", textContent: "Remove" }), `Remove ${name}`);
      remove.addEventListener("click", () => (policies.delete(name), showPolicies(), byId("policy-name").focus()));
      return element("li", {}, element("strong", {}, name), " ", ...(name === text ? [] : [element("code", {}, text), " "]), remove);
    }));
    changed("policies");
  }

  function add() {
    const text = byId("text").value;
    policies.set(byId("policy-name").value.trim() || text, text);
    byId("policy-name").value = "";
    showPolicies();
  }

  byId("add").addEventListener("click", add);
  byId("policy-name").addEventListener("keydown", (event) => event.key === "Enter" && add());
  byId("tasks").append(...data.tasks.map(({ name, about }, place) => {
    const box = element("input", { type: "checkbox", value: name, checked: !place });
    return element("label", {}, box, element("span", {}, element("strong", {}, name), " ", element("span", { className: "half" }, about)));
  }));
  byId("known-settings").append(...data.settings.map((name) => element("option", { value: name })));
  for (const [key, allowed] of Object.entries(data.allowed)) byId(`f-${key}`).title = allowed;
  byId("form").addEventListener("input", ({ target }) => {
    if (target.name) changed(target.name);
    else if (target.closest("#tasks")) changed("tasks");
  });
  byId("copy-file").addEventListener("click", () => Report.copy(byId("file").textContent, "Study file"));

  // Asking for it -----------------------------------------------------------------------------------------------------

  // Send the form; where something in it is wrong, lead to the first field of these.
  async function submit(address) {
    places.forEach((key) => touched.add(key));
    asked += 1;
    byId("cost").textContent = "Checking …";
    try {
      const { errors } = await Live.change("/check", given());
      const answer = Object.keys(errors).length ? { errors } : await Live.change(address, given());
      showErrors(answer?.errors ?? {});
      const wrong = places.find((key) => answer?.errors?.[key]);
      if (wrong !== undefined) (byId(`f-${wrong}`) ?? byId(`e-${wrong}`).parentElement.querySelector("input, select, button"))?.focus();
      return answer?.errors ? undefined : answer;
    } catch (error) {
      showErrors({ "": error.message });
    } finally {
      byId("cost").textContent = "";
    }
  }

  byId("plan").addEventListener("click", async () => {
    const plan = await submit("/plan");
    if (!plan) return;
    const { runs, steps } = plan;
    byId("cost").textContent = `${Live.many(runs.total, "run")}, of which the store has ${runs.cached.toLocaleString("en")}; `
      + `${steps.to_train.toLocaleString("en")} of ${Live.many(steps.nominal, "iteration")} to train.`;
  });
  byId("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if ((await submit("/run")) !== undefined) location.assign("/");
  });
  // What was typed before this ran, or is kept from an earlier visit, is looked at too.
  for (const { name, value, defaultValue } of byId("form").elements) if (name && value !== defaultValue) touched.add(name);
  check().catch((error) => Live.say(error.message));
})();
