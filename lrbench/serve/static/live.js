"use strict";
// What the pages share: events of the server, and numbers in words.
const Live = (() => {
  const trouble = document.getElementById("trouble");

  function say(sentence) {
    trouble.textContent = sentence;
    trouble.hidden = !sentence;
  }

  const MILLISECONDS_TO_TRY_AGAIN = 2000;

  // Call a function for each event of an address, by its name, with what it brings. A browser tries again by itself
  // where the server is gone, but not where it refuses, as one does that was started anew and has another token.
  function listen(address, answers) {
    const source = new EventSource(address);
    for (const [name, answer] of Object.entries(answers)) {
      source.addEventListener(name, (event) => (say(""), answer(JSON.parse(event.data))));
    }
    source.addEventListener("trouble", (event) => say(JSON.parse(event.data)));
    source.addEventListener("error", async () => {
      const isRefused = source.readyState === EventSource.CLOSED;
      say(`${isRefused ? await refusal(address) : "The server does not answer"}; this page shows what it last heard.`);
      if (isRefused) setTimeout(() => listen(address, answers), MILLISECONDS_TO_TRY_AGAIN);
    });
    source.addEventListener("open", () => say(""));
    addEventListener("pagehide", () => source.close());
  }

  async function refusal(address) {
    const answer = await fetch(address).catch(() => null);
    if (answer === null || answer.ok) return (answer?.body.cancel(), "The server does not answer");
    return (await answer.text()).replace(/\.$/, "");
  }

  const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  function duration(seconds) {
    for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (seconds >= 1.5 * length) return `${(seconds / length).toFixed(1)} ${unit}s`;
    }
    return many(Math.max(1, Math.round(seconds)), "second");
  }

  const ago = (time) => (Date.now() / 1000 - time < 90 ? "just now" : `${duration(Date.now() / 1000 - time)} ago`);

  // Send the server a body; its answer, or an error with its sentence.
  async function send(address, body) {
    const answer = await fetch(address, { method: "POST", body });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  // Ask the server to change something.
  const change = (address, given) => send(address, new Blob([JSON.stringify(given)], { type: "application/json" }));

  // Buttons that stop a study that was started on the page, or let it go on.
  function controls(job) {
    const going = ["queued", "running"].includes(job.state);
    const button = Report.element("button", { type: "button", textContent: going ? "Stop" : "Resume" });
    button.setAttribute("aria-label", `${button.textContent} ${job.name}`);
    button.addEventListener("click", () => change(going ? "/stop" : "/resume", { name: job.name }).catch((error) => say(error.message)));
    return button;
  }

  return { say, listen, many, duration, ago, send, change, controls };
})();
