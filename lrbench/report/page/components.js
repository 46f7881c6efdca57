"use strict";
// The parts of a page about a study: its table of policies and its curves, in a file or from a server.
const Report = (() => {
  const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f", "#8C6D1F"];
  const DASHES = ["solid", "dash", "dot"];
  const SHOWN = 6;
  const PAGE = 100;
  const byId = {};

  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function drawn(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Copying ----------------------------------------------------------------------------------------------------------

  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const said = document.getElementById("said");
    said.textContent = `${what} copied`;
    clearTimeout(said.timer);
    said.timer = setTimeout(() => (said.textContent = ""), 2500);
  }

  function copied(task, row, kind) {
    if (kind === "text") return copy(row.policy, "Policy");
    const [code, text] = row.code;
    return copy(task.codes[code].join(text), "PyTorch code");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const task = byId[button.dataset.task];
    copied(task, task.rows[Number(button.dataset.row)], button.dataset.copy);
  });

  function copyButtons(task, index) {
    const button = (kind, text) => {
      const made = element("button", { type: "button", textContent: text });
      Object.assign(made.dataset, { copy: kind, task: task.id, row: index });
      made.setAttribute("aria-label", `${text} ${kind === "code" ? "code of" : ""} ${task.rows[index].name}`);
      return made;
    };
    const buttons = [button("text", "Copy policy")];
    if (task.rows[index].code) buttons.push(button("code", "Copy PyTorch"));
    return element("span", { className: "actions" }, ...buttons);
  }

  // Numbers ----------------------------------------------------------------------------------------------------------

  function number(value, digits) {
    if (value === null) return "–";
    if (digits < 0) {
      const power = Math.max(0, Math.min(6, Math.floor(Math.log10(value || 1) / 3)));
      return `${(value / 1000 ** power).toPrecision(-digits)}${["", "k", "M", "G", "T", "P", "E"][power]}`;
    }
    return digits ? value.toFixed(digits) : value.toLocaleString("en", { maximumFractionDigits: 0 });
  }

  function figure(row, value, column) {
    return value === null && column.key === "steps_to_target" && row.reached ? row.reached : number(value, column.digits);
  }

  function scoreCell([mean, low, high]) {
    const cell = element("td", {}, number(mean, 3));
    if (low !== null) {
      const even = Math.abs(high - mean - (mean - low)) <= 1e-9 * (Math.abs(mean) + high - low);
      const text = even ? ` ±${number((high - low) / 2, 3)}` : ` [${number(low, 3)}, ${number(high, 3)}]`;
      cell.append(element("span", { className: "half" }, text));
    }
    return cell;
  }

  // The table --------------------------------------------------------------------------------------------------------

  function intervalBar([mean, low, high], [from, to], verdict) {
    const at = (value) => (100 * (value - from)) / (to - from || 1);
    const tone = `var(--${verdict || "ink"})`;
    const picture = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    picture.append(drawn("line", { x1: 0, x2: 100, y1: 5, y2: 5, stroke: "var(--line)", "stroke-width": 1 }));
    if (low !== null) {
      picture.append(drawn("line", { x1: at(low), x2: at(high), y1: 5, y2: 5, stroke: tone, "stroke-width": 3 }));
    }
    picture.append(drawn("rect", { x: at(mean) - 1.5, y: 0, width: 3, height: 10, fill: tone }));
    return picture;
  }

  // A line may end behind a bracket too.
  function breakable(name) {
    return name.split(/(?<=\()/).flatMap((part, place) => (place ? [element("wbr"), part] : [part]));
  }

  function whoCell(task, row, index) {
    const keys = row.runs.map(([stage, scale, seed, status, val, test, key]) => {
      const of = stage === "main" ? "" : stage === "scale" ? ` LR × ${scale}` : ` ${stage}`;
      const scores = val === null ? "" : ` · validation ${number(val, 4)} · test ${number(test, 4)}`;
      return element("span", {}, `seed ${seed}${of}: ${status}${scores} · `, element("code", {}, key));
    });
    const what = element("details", {}, element("summary", {}, ...breakable(row.name)));
    what.dataset.label = row.label;
    if (row.label !== row.name) what.append(element("span", {}, row.label));
    what.append(element("code", {}, row.policy), copyButtons(task, index));
    if (row.reason) what.append(element("span", { className: "half" }, row.reason));
    what.append(element("span", { className: "keys" }, ...keys));
    return element("th", { scope: "row", className: "who" }, what);
  }

  const ORDER = { good: 0, undecided: 1, avoid: 2 };

  // Fill a task's table; what the reader sorted by, filtered and opened stays when it is filled again.
  function table(task, before = {}) {
    const body = document.querySelector(`#${task.id}-policies tbody`);
    const head = document.querySelector(`#${task.id}-policies thead`);
    if (!body) return null;
    const known = task.rows.flatMap((row) => row.val).filter((value) => value !== null);
    const range = [Math.min(...known), Math.max(...known)];
    const raced = new Set(task.rows.map((row) => row.seeds)).size > 1;
    const columns = [
      { title: "#", value: (row) => row.place, better: -1 },
      { title: "policy", value: (row) => row.name, text: true },
      { title: "verdict", value: (row) => ORDER[row.verdict] ?? 3, better: -1, className: "left" },
      { title: "validation", value: (row) => row.val[0], better: task.better, help: "what policies are ranked and judged by" },
      { title: "test", value: (row) => row.test[0], better: task.better, help: "reported, and chooses nothing" },
      ...(raced ? [{ title: "seeds", value: (row) => row.seeds, better: 1, help: "runs that the scores are means of" }] : []),
      ...task.columns.map((column, place) => ({ ...column, value: (row) => row.figures[place] })),
    ];
    const state = { title: columns[0].title, up: true, shown: PAGE, ...before };

    const titles = columns.map((column) => {
      const button = element("button", { type: "button", textContent: column.title });
      if (column.help) button.title = column.help;
      button.addEventListener("click", () => {
        const first = column.text || column.better === -1;
        Object.assign(state, { title: column.title, up: state.title === column.title ? !state.up : first });
        fill();
      });
      const title = element("th", { scope: "col", className: column.text ? "left" : column.className || "" }, button);
      return title;
    });
    head.replaceChildren(element("tr", {}, ...titles));

    const rows = task.rows.map((row, index) => ({ row, index, made: null, sought: `${row.label} ${row.policy}`.toLowerCase() }));

    function made(entry) {
      if (entry.made) return entry.made;
      const { row, index } = entry;
      const val = scoreCell(row.val);
      if (row.val[0] !== null) val.append(intervalBar(row.val, range, row.verdict));
      entry.made = element(
        "tr", {},
        element("td", {}, String(row.place)),
        whoCell(task, row, index),
        element("td", { className: `verdict ${row.verdict || ""}` }, row.verdict || "–"),
        val,
        scoreCell(row.test),
        ...(raced ? [element("td", {}, String(row.seeds))] : []),
        ...row.figures.map((value, place) => element("td", {}, figure(row, value, task.columns[place]))),
      );
      return entry.made;
    }

    const filter = document.getElementById(`${task.id}-filter`);
    const verdict = document.getElementById(`${task.id}-verdict`);
    const found = document.getElementById(`${task.id}-found`);
    const all = document.getElementById(`${task.id}-all`);

    function fill() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = rows.filter(
        ({ row, sought }) => (!verdict.value || row.verdict === verdict.value) && words.every((word) => sought.includes(word)),
      );
      const { up, shown } = state;
      const column = columns.find(({ title }) => title === state.title) ?? columns[0];
      kept.sort(({ row: a }, { row: b }) => {
        const [x, y] = [column.value(a), column.value(b)];
        if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
        const order = column.text ? x.localeCompare(y, "en", { numeric: true }) : x - y;
        return (up ? order : -order) || a.place - b.place;
      });
      body.replaceChildren(...kept.slice(0, shown).map(made));
      titles.forEach((title, place) => {
        if (columns[place] === column) title.setAttribute("aria-sort", up ? "ascending" : "descending");
        else title.removeAttribute("aria-sort");
      });
      found.textContent = `${kept.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} policies`;
      all.hidden = kept.length <= shown;
      all.textContent = `Show ${Math.min(PAGE, kept.length - shown)} more of ${(kept.length - shown).toLocaleString("en")}`;
    }

    filter.oninput = verdict.onchange = () => ((state.shown = PAGE), fill());
    all.onclick = () => ((state.shown += PAGE), fill());
    const open = new Set([...body.querySelectorAll("details[open]")].map((one) => one.dataset.label));
    fill();
    for (const one of body.querySelectorAll("details")) one.open = open.has(one.dataset.label);
    return state;
  }

  // The curves -------------------------------------------------------------------------------------------------------

  const touch = matchMedia("(pointer: coarse)").matches;
  const narrow = matchMedia("(max-width: 40rem)");

  function layout(title) {
    const style = getComputedStyle(document.documentElement);
    const [ink, faint, line] = ["--ink", "--faint", "--line"].map((name) => style.getPropertyValue(name).trim());
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: "system-ui, sans-serif", color: ink, size: narrow.matches ? 11 : 12 },
      hoverlabel: { namelength: 60 }, dragmode: touch ? false : "zoom",
      margin: { l: 48, r: 8, t: 8, b: 40 },
      xaxis: { ...axis, title: { text: "iteration", font: { color: faint } }, rangemode: "tozero" },
      yaxis: { ...axis, title: { text: "" }, rangemode: title === "lr" ? "tozero" : "normal" },
    };
  }

  // Plotly reads <b> and <a> in hover texts as markup; a policy's name has none.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  function look(place) {
    return { color: COLORS[place % COLORS.length], dash: DASHES[Math.floor(place / COLORS.length) % DASHES.length] };
  }

  function traces(task, kind, on) {
    return task.curves.flatMap((curve, place) => {
      const line = curve[kind];
      if (!line || !on[place]) return [];
      const name = plain(curve.name);
      const made = [];
      if (line.low && line.x.length > 1) {
        made.push({
          x: [...line.x, ...line.x.toReversed()], y: [...line.high, ...line.low.toReversed()], fill: "toself",
          fillcolor: `${look(place).color}1f`, line: { width: 0 }, hoverinfo: "skip", type: "scatter", mode: "lines",
        });
      }
      made.push({
        x: line.x, y: line.y, name, type: "scatter", mode: line.x.length > 1 ? "lines" : "markers",
        line: { ...look(place), width: 2 },
        hovertemplate: `${kind === "lr" ? "%{y:.4g}" : "%{y:.4f}"} at %{x:,}<extra>%{fullData.name}</extra>`,
      });
      const training = kind === "loss" && curve.train_loss;
      if (training) {
        made.push({
          x: training.x, y: training.y, name, type: "scatter", mode: training.x.length > 1 ? "lines" : "markers",
          line: { color: look(place).color, dash: "dashdot", width: 1 },
          hovertemplate: "%{y:.4f} in training, at %{x:,}<extra>%{fullData.name}</extra>",
        });
      }
      if (line.cut && line.x.length) {
        made.push({
          x: line.x.slice(-1), y: line.y.slice(-1), name, type: "scatter", mode: "markers",
          marker: { symbol: "x", size: 9, color: look(place).color },
          hovertemplate: "a seed diverged after this<extra>%{fullData.name}</extra>",
        });
      }
      return made;
    });
  }

  const config = { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover" };
  const redrawn = new Map();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redrawn.forEach((draw) => draw()));

  // Draw a task's curves; which of them are shown stays when they are drawn again.
  function curves(task, before = {}) {
    const place = document.getElementById(`${task.id}-toggles`);
    if (!place) return null;
    const on = task.curves.map((curve, index) => before[curve.name] ?? index < SHOWN);
    const draw = () => {
      for (const kind of ["lr", "val", "loss"]) {
        Plotly.react(`${task.id}-${kind}`, traces(task, kind, on), layout(kind), config);
      }
    };
    const chosen = { ...before };
    const focused = place.contains(document.activeElement) && document.activeElement.dataset.name;
    const labels = task.curves.map((curve, index) => {
      const box = element("input", { type: "checkbox", checked: on[index] });
      box.dataset.name = curve.name;
      box.addEventListener("change", () => ((on[index] = chosen[curve.name] = box.checked), draw()));
      return element("label", {}, box, swatch(index), curve.name);
    });
    place.replaceChildren(element("legend", {}, "Shown"), ...labels);
    if (focused) labels.find(({ firstChild }) => firstChild.dataset.name === focused)?.firstChild.focus();
    redrawn.set(task.id, draw);
    draw();
    return chosen;
  }

  function swatch(index) {
    const { color, dash } = look(index);
    const dashes = { solid: "none", dash: "6 3", dot: "2 3" }[dash];
    const line = { x1: 0, x2: 24, y1: 5, y2: 5, stroke: color, "stroke-width": 3, "stroke-dasharray": dashes };
    return drawn("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" }, drawn("line", line));
  }

  // Show a task, or show it again with other numbers.
  const shown = {};
  function show(task) {
    byId[task.id] = task;
    const before = shown[task.id] ?? {};
    shown[task.id] = { table: table(task, before.table ?? {}), curves: curves(task, before.curves ?? {}) };
  }

  return { element, drawn, copy, number, look, layout, config, plain, swatch, breakable, redrawn, show };
})();
