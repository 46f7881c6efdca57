"use strict";
(() => {
  const { element, layout, config, plain, look } = Report;
  const { many, duration } = Live;
  const byId = (id) => document.getElementById(id);
  const study = byId("live").dataset.study;
  const MOST_LINES = 2000;
  let logged = [];

  function fact(title, value) {
    return element("div", {}, element("dt", {}, title), element("dd", {}, value));
  }

  function meter(done, all) {
    const made = element("progress", { max: all, value: done });
    made.setAttribute("aria-label", `${done} of ${all}`);
    return made;
  }

  function place({ task, seed, stage, label }) {
    return `${label}, seed ${seed}${stage === "main" ? "" : `, ${stage}`}`;
  }

  function showNow(now) {
    document.querySelector("h1").textContent = now.name;
    const state = byId("state");
    state.textContent = now.state;
    state.className = `state ${now.state}`;
    byId("control").replaceChildren(...(now.job && now.state !== "complete" ? [Live.controls(now.job)] : []));
    Object.assign(byId("bar"), { value: now.done, hidden: now.state === "complete" });
    const { diverged = 0, failed = 0, running = 0 } = now.statuses;
    const done = `${now.over.toLocaleString("en")} of ${now.runs.toLocaleString("en")}`;
    byId("numbers").replaceChildren(
      fact("runs over", [done, ...(diverged ? [`${diverged} diverged`] : []), ...(failed ? [`${failed} failed`] : [])].join(", ")),
      ...(running ? [fact("begun", many(running, "run"))] : []),
      fact("iterations", `${now.trained.toLocaleString("en")} trained${now.remaining ? `, ${now.remaining.toLocaleString("en")} to come` : ""}`),
      ...(now.left === null ? [] : [fact("time left", `about ${duration(now.left)}`)]),
      ...(now.shared ? [fact("saved by the tree", `${(100 * now.shared).toFixed(0)}% of the iterations`)] : []),
    );
    byId("workers").replaceChildren(...now.workers.map((one) => element(
      "li", {}, element("strong", {}, `${one.machine}, process ${one.process}`),
      ` holds ${many(one.runs, "run")}, of which ${one.begun.toLocaleString("en")} ${one.begun === 1 ? "is" : "are"} begun; `,
      `heard of ${one.heard} s ago`,
    )));
    byId("race-part").hidden = !now.race.length;
    byId("race-title").textContent = now.is_race ? "Still in the race" : "Runs to come";
    byId("race").replaceChildren(...now.race.map((one) => element(
      "li", {}, element("span", { className: "name" }, one.label), meter(one.over, one.of),
      element("span", { className: "half" }, `${one.over} of ${one.of}`),
    )));
    showRunning(now.running);
    byId("failures-part").hidden = !now.failures.length;
    byId("failures-title").textContent = `${many(now.failures.length, "run")} failed, and the rest went on without`;
    byId("failures").replaceChildren(...now.failures.map((one) => element(
      "li", {}, `${place(one)}, after iteration ${one.step}: ${one.error?.trim().split("\n").at(-1) ?? ""}`,
      element("pre", { tabIndex: 0 }, one.error ?? ""),
    )));
  }

  // The log stays at its end as it grows, unless the reader went back in it.
  function showLog({ is_first: isFirst, lines }) {
    const log = byId("log");
    const isAtEnd = isFirst || log.scrollTop + log.clientHeight >= log.scrollHeight - 5;
    logged = [...(isFirst ? [] : logged), ...lines].slice(-MOST_LINES);
    log.textContent = logged.join("\n") || "Nothing was trained yet.";
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }
  byId("log-part").addEventListener("toggle", () => (byId("log").scrollTop = byId("log").scrollHeight));

  const draw = { runs: [] };
  function drawRunning() {
    const traces = draw.runs.map((run, index) => ({
      x: run.x, y: run.y, name: plain(place(run)), type: "scatter", mode: run.x.length > 1 ? "lines" : "markers",
      line: { ...look(index), width: 2 }, hovertemplate: "%{y:.4f} at %{x:,}<extra>%{fullData.name}</extra>",
    }));
    Plotly.react("running-plot", traces, layout("running"), config);
  }

  function showRunning(runs) {
    byId("running-part").hidden = !runs.length;
    if (!runs.length) return;
    byId("running").replaceChildren(...runs.map((run) => element(
      "li", {}, element("span", { className: "name" }, place(run)), meter(run.step, run.steps),
      element("span", { className: "half" }, `${run.step.toLocaleString("en")} of ${run.steps.toLocaleString("en")}`),
    )));
    draw.runs = runs.filter(({ x }) => x.length);
    byId("running-figure").hidden = !draw.runs.length;
    if (draw.runs.length) drawRunning();
  }
  Report.redrawn.set("running", () => draw.runs.length && drawRunning());

  // What stands above a task's curves comes as HTML from the report's own template; open details stay open.
  function showStanding(old, made) {
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    made.querySelectorAll("details").forEach((one, index) => (one.open = open[index] ?? false));
    if (old.innerHTML !== made.innerHTML) old.replaceWith(made);
  }

  function showAnswer({ overview, html, tasks }) {
    byId("overview").textContent = overview.join(" ");
    byId("reading")?.remove();
    for (const section of new DOMParser().parseFromString(html, "text/html").querySelectorAll("section.task")) {
      const old = byId(section.id);
      if (old && old.dataset.count === section.dataset.count) {
        showStanding(byId(`${section.id}-standing`), section.querySelector(".standing"));
      } else if (old) {
        old.replaceWith(section);
      } else {
        byId("answer").append(section);
      }
    }
    tasks.forEach(Report.show);
  }

  // The evaluations of one run -----------------------------------------------------------------------------------------

  const one = { rows: [], ended: false };

  async function read(address) {
    const answer = await fetch(`/studies/${study}/${address}`);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  const figures = (value, digits) => (value === null ? "–" : Number(value.toPrecision(digits)).toString());

  async function showRun() {
    const key = byId("run-seed").value;
    if (!key) return;
    const { status, step, steps, objective, rows } = await read(`runs/${key}`);
    if (key !== byId("run-seed").value) return;
    one.ended = status !== "running";
    const test = rows.findLast((row) => row[6] !== null);
    byId("run-state").textContent = `${status}, ${step.toLocaleString("en")} of ${many(steps, "iteration")}`
      + (test ? `; test ${objective} ${figures(test[6], 4)} after ${test[0].toLocaleString("en")}` : "");
    const head = ["iteration", "epoch", "LR", "train loss", "val loss", `val ${objective}`];
    byId("run-table").replaceChildren(
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map(([at, epoch, lr, ...numbers]) => element(
        "tr", {}, element("th", { scope: "row" }, at.toLocaleString("en")), element("td", {}, String(epoch)),
        ...[figures(lr, 3), ...numbers.slice(0, 3).map((value) => figures(value, 4))].map((text) => element("td", {}, text)),
      ))),
    );
  }

  function fillSeeds(chosen) {
    const runs = one.rows[Number(byId("run-row").value)]?.runs ?? [];
    byId("run-seed").replaceChildren(...runs.map(([seed, key]) => element("option", { value: key, textContent: String(seed) })));
    if (runs.some(([, key]) => key === chosen)) byId("run-seed").value = chosen;
    showRun().catch((error) => Live.say(error.message));
  }

  byId("run").addEventListener("toggle", async () => {
    if (!byId("run").open) return;
    const [chosen, seed] = [byId("run-row").value, byId("run-seed").value];
    one.rows = await read("begun");
    const several = new Set(one.rows.map(({ task }) => task)).size > 1;
    byId("run-row").replaceChildren(...one.rows.map(({ task, label }, place) => element("option", { value: String(place), textContent: several ? `${label} on ${task}` : label })));
    byId("run-state").textContent = one.rows.length ? "" : "No run was begun yet.";
    if (chosen) byId("run-row").value = chosen;
    fillSeeds(seed);
  });
  byId("run-row").addEventListener("change", () => fillSeeds());
  byId("run-seed").addEventListener("change", () => showRun().catch((error) => Live.say(error.message)));

  function progressed(now) {
    showNow(now);
    if (byId("run").open && !one.ended) showRun().catch((error) => Live.say(error.message));
  }

  byId("copy-toml").addEventListener("click", () => Report.copy(byId("toml").textContent, "Study file"));
  if (byId("delete")) {
    const ask = (address, name, then) => Live.change(address, { name, study }).then(then, (error) => Live.say(error.message));
    byId("rename").addEventListener("click", () => ask("/rename", byId("new-name").value, () => location.reload()));
    byId("delete").addEventListener("click", () => ((byId("sure").hidden = false), byId("no").focus()));
    byId("no").addEventListener("click", () => ((byId("sure").hidden = true), byId("delete").focus()));
    byId("really").addEventListener("click", () => ask("/delete", "", () => location.assign("/")));
  }

  Live.listen(`/studies/${study}/events`, { progress: progressed, log: showLog, answer: showAnswer });
})();
