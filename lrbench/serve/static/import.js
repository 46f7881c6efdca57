"use strict";
// Import runs from a path of the server's machine: a preview first, then the import of what was previewed.
(() => {
  const { element } = Report;
  const byId = (id) => document.getElementById(id);
  const form = byId("import");
  const MOST_POLICIES = 50;
  let previewed = null;

  const given = () => Object.fromEntries(new FormData(form));

  function table(label, head, rows) {
    const made = element("table", { className: "plain" },
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map(([first, ...others]) => element(
        "tr", {}, element("th", { scope: "row" }, first), ...others.map((text) => element("td", {}, text)),
      ))));
    const region = element("div", { className: "scroll", tabIndex: 0 }, made);
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", label);
    return region;
  }

  function show({ study, runs, tasks, policies, remarks }) {
    const more = policies.length - MOST_POLICIES;
    byId("preview").replaceChildren(
      element("p", {}, `An import would store ${Live.many(runs, "run")} as study `, element("strong", {}, study), "."),
      table("Tasks", ["task", "judged by", "better", "seeds"],
        tasks.map((one) => [one.task, one.objective, one.better, one.paired ? "paired" : "unpaired"])),
      table("Policies", ["policy", "runs", "learning rates"], policies.slice(0, MOST_POLICIES).map(
        ({ name, policy, runs: count }) => [name, count.toLocaleString("en"), policy === name ? "not known" : policy])),
      ...(more > 0 ? [element("p", {}, `and ${more.toLocaleString("en")} more`)] : []),
      ...remarks.map((remark) => element("p", { className: "half" }, remark)),
    );
  }

  async function ask(address, asked, waiting) {
    byId("imported").textContent = waiting;
    byId("import-now").disabled = true;
    try {
      const answer = await Live.change(address, asked);
      byId("imported").textContent = answer.error ?? "";
      return answer.error === undefined ? answer : null;
    } catch (error) {
      byId("imported").textContent = error.message;
      return null;
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = given();
    const found = await ask("/import/preview", asked, "Reading …");
    if (JSON.stringify(asked) !== JSON.stringify(given())) return;
    byId("preview").hidden = !found;
    byId("import-now").disabled = !found;
    if (!found) return;
    previewed = asked;
    show(found);
  });

  // What is imported is what was previewed: a change of the form asks for another preview.
  form.addEventListener("input", () => {
    byId("import-now").disabled = byId("preview").hidden = true;
  });

  byId("import-now").addEventListener("click", async () => {
    const done = await ask("/import", previewed, "Importing …");
    if (!done) return;
    const { runs, is_new: isNew } = done.imported;
    byId("preview").hidden = true;
    byId("imported").textContent = isNew ? `${Live.many(runs, "run")} imported as study ${done.study}.`
      : `The store has these runs already, as study ${done.study}: nothing is new.`;
  });
})();
