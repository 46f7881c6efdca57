"use strict";
(() => {
  const { element } = Report;
  const { many, duration, ago } = Live;
  const [list, filter, state, found] = ["studies", "filter", "state", "found"].map((id) => document.getElementById(id));
  const summaries = {};
  let studies = [];
  let jobs = [];

  function stateOf(study) {
    const { missing = 0, running = 0 } = study.statuses;
    if (study.held) return "running";
    const over = summaries[study.id]?.over && study.statuses.finished;
    return (missing || running) && !(over && !running) ? "stopped" : "complete";
  }

  function verdicts(counts) {
    const all = ["good", "undecided", "avoid"].filter((name) => counts[name]);
    return all.map((name) => element("span", { className: `verdict ${name}` }, `${counts[name]} ${name}`));
  }

  function leader(one, several) {
    const where = several ? ` on ${one.task}` : "";
    const claims = one.claims ? verdicts(one.verdicts) : [element("span", { className: "half" }, "claims nothing yet")];
    return element(
      "p", { className: "leader" },
      element("span", { className: "half" }, `In the lead${where}: `), element("strong", {}, one.name),
      ` ${one.by} ${one.score} `, element("span", { className: "verdicts" }, ...claims),
    );
  }

  function facts(study) {
    const runs = Object.values(study.statuses).reduce((sum, count) => sum + count, 0);
    const { missing = 0, running = 0, failed = 0, diverged = 0 } = study.statuses;
    const over = runs - missing - running;
    return [
      over === runs ? many(runs, "run") : `${over.toLocaleString("en")} of ${many(runs, "run")}`,
      ...(failed ? [`${failed} failed`] : []), ...(diverged ? [`${diverged} diverged`] : []),
      many(study.steps, "iteration"),
      ...(study.seconds ? [`${duration(study.seconds)} of compute`] : []),
      ...(study.created ? [ago(study.created)] : []),
    ].join(" · ");
  }

  // The record of a search has no runs: its name leads to the study of its policies at the whole budget.
  const page = (study, parts) => parts.find(({ name }) => name === study.name) ?? parts[0] ?? study;

  function card(study, parts) {
    const shown = study.kind === "search" ? page(study, parts) : study;
    const answer = parts.find(({ kind }) => kind === "confirmation") ?? shown;
    const summary = summaries[answer.id] ?? {};
    const made = element(
      "li", { className: "study" },
      element(
        "p", { className: "head" },
        element("a", { href: `/studies/${shown.id}` }, study.address),
        element("span", { className: `state ${stateOf(shown)}` }, stateOf(shown)),
        element("span", { className: "half" }, study.kind),
      ),
      ...(summary.leaders ?? []).slice(0, 3).map((one) => leader(one, summary.tasks > 1)),
      ...(answer.ranked && !(answer.id in summaries) ? [element("p", { className: "half" }, "The leader is being computed …")] : []),
      ...(summary.trouble ? [element("p", { className: "half" }, summary.trouble)] : []),
      element("p", { className: "facts half" }, facts(shown)),
    );
    if (parts.length) {
      const inner = parts.map((part) => card(part, []));
      const open = document.querySelector(`details[data-of="${study.id}"]`)?.open ?? false;
      const more = element("details", { open }, element("summary", {}, many(parts.length, "part")), element("ol", {}, ...inner));
      more.dataset.of = study.id;
      made.append(more);
    }
    return made;
  }

  function sought(study, parts) {
    const leaders = (summaries[study.id]?.leaders ?? []).map(({ name }) => name);
    return [study.address, study.kind, ...leaders, ...parts.map(({ address }) => address)].join(" ").toLowerCase();
  }

  function fill() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const ids = new Set(studies.map(({ id }) => id));
    const top = studies.filter(({ parent }) => !ids.has(parent));
    const rows = top.map((study) => [study, studies.filter(({ parent }) => parent === study.id)]);
    const kept = rows.filter(([study, parts]) => {
      const text = sought(study, parts);
      const states = [study, ...parts].map(stateOf);
      return words.every((word) => text.includes(word)) && (!state.value || states.includes(state.value));
    });
    const focused = document.activeElement?.closest?.("#studies a")?.getAttribute("href");
    list.replaceChildren(...kept.map(([study, parts]) => card(study, parts)));
    if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
    if (!rows.length) list.append(element("li", { className: "waiting" }, "No study is in this store yet."));
    found.textContent = rows.length ? `${kept.length} of ${many(rows.length, "study").replace("studys", "studies")}` : "";
  }

  // What was started on this page and is not over; a study that is in the store has its own card below.
  function fillJobs() {
    const complete = new Set(studies.filter((one) => stateOf(one) === "complete").map(({ address }) => address));
    const shown = jobs.filter((job) => job.state !== "ended" && !(job.state === "stopped" && complete.has(job.name)));
    document.getElementById("jobs").replaceChildren(...shown.map((job) => element(
      "li", {}, element("strong", {}, job.name), element("span", { className: `state ${job.state}` }, job.state),
      Live.controls(job), element("span", { className: "half" }, job.says),
    )));
  }

  document.getElementById("merge")?.addEventListener("click", async () => {
    const [file] = document.getElementById("other").files;
    const merged = document.getElementById("merged");
    merged.textContent = file ? "Merging …" : "Choose the file of a store first.";
    if (!file) return;
    try {
      const gained = await Live.send("/merge", file);
      merged.textContent = `${many(gained.studies, "study").replace("studys", "studies")} and ${many(gained.runs, "run")} are new.`;
    } catch (error) {
      merged.textContent = error.message;
    }
  });

  filter.addEventListener("input", fill);
  state.addEventListener("change", fill);
  Live.listen("/events", {
    studies: (event) => (({ studies, jobs } = event), fill(), fillJobs()),
    summaries: (fresh) => (fresh.forEach(({ id, ...summary }) => (summaries[id] = summary)), fill(), fillJobs()),
  });
})();
