"use strict";
(() => {
  const { element } = Report;
  const byId = (id) => document.getElementById(id);
  const { studies } = JSON.parse(byId("data").textContent);
  const names = Object.fromEntries(studies.map(({ id, name }) => [id, name]));
  // What is compared stands in the address, so that it can be kept and sent: NUMBER/TASK/LABEL for each row.
  let picks = new URLSearchParams(location.search).getAll("row");
  const parts = (pick) => pick.split("/").map(decodeURIComponent);

  async function read(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  async function showRows() {
    const study = byId("study").value;
    if (!study) return;
    const rows = await read(`/studies/${study}/rows`);
    const several = new Set(rows.map(({ task }) => task)).size > 1;
    byId("policy").replaceChildren(...rows.map(({ task, label }) => element("option", {
      value: [study, task, label].map(encodeURIComponent).join("/"), textContent: several ? `${label} on ${task}` : label,
    })));
  }

  function number(value) {
    if (!value) return value === 0 ? "0" : "–";
    const size = Math.abs(value);
    return `${value > 0 ? "+" : "−"}${size < 1e5 ? Number(size.toPrecision(3)) : Report.number(size, -3)}`;
  }

  const cells = (tag, texts) => element("tr", {}, ...texts.map((text, place) => {
    const made = element(tag === "th" || !place ? "th" : "td", {}, text);
    made.scope = tag === "th" ? "col" : "row";
    return made;
  }));

  function showDifferences(rows, differences) {
    byId("differences").replaceChildren(...differences.flatMap(({ how, unit, rows: gaps }, place) => {
      const title = element("h3", {}, `${rows[place + 1].name} minus ${rows[0].name}`);
      if (!gaps.length) return [title, element("p", {}, "They share no seed, so that nothing is paired.")];
      const table = element("table", { className: "plain" },
        element("thead", {}, cells("th", ["metric", "difference", "95% interval", unit])),
        element("tbody", {}, ...gaps.map((gap) => cells("td", [
          gap.metric, number(gap.mean), gap.low === null ? "–" : `${number(gap.low)} to ${number(gap.high)}`, String(gap.seeds),
        ]))));
      const region = element("div", { className: "scroll", tabIndex: 0 }, table);
      region.setAttribute("role", "region");
      region.setAttribute("aria-label", title.textContent);
      return [title, element("p", {}, how), region];
    }));
  }

  async function show() {
    history.replaceState(null, "", picks.length ? `?${new URLSearchParams(picks.map((pick) => ["row", pick]))}` : "?");
    byId("picks").replaceChildren(...picks.map((pick, place) => {
      const [study, task, label] = parts(pick);
      const remove = element("button", { type: "button", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove ${label}`);
      remove.addEventListener("click", () => (picks.splice(place, 1), show()));
      return element("li", {}, element("strong", {}, label), ` on ${task}, in ${names[study] ?? study} `, remove);
    }));
    byId("result").hidden = !picks.length;
    if (!picks.length) return;
    const { curves, rows, differences } = await read(`/compared${location.search}`);
    Report.show({ id: "compare", rows: [], columns: [], codes: [], curves });
    byId("scores").replaceChildren(
      element("thead", {}, cells("th", ["policy", "task", "validation", "test", "seeds"])),
      element("tbody", {}, ...rows.map((row) => cells("td", [row.name, row.task, row.val, row.test, String(row.seeds)]))),
    );
    showDifferences(rows, differences);
  }

  const say = (error) => Live.say(error.message);
  byId("study").append(...studies.map(({ id, name }) => element("option", { value: id }, name)));
  byId("study").addEventListener("change", () => showRows().catch(say));
  byId("add").addEventListener("click", () => {
    const pick = byId("policy").value;
    if (pick && !picks.includes(pick)) (picks = [...picks, pick]), show().catch(say);
  });
  showRows().catch(say);
  show().catch(say);
})();
