// Keeps the page fresh: asks the server for it again and changes only what differs, so that the reader's place, focus,
// selection and opened parts stay. Without this script the page is as good as a reload.
"use strict";

(() => {
  const EVERY = 5000;
  const PATIENCE = 20000;
  const TYPING = 200;

  const live = document.getElementById("live");
  const said = document.getElementById("live-text");
  const pause = document.getElementById("pause");
  const form = document.getElementById("search");

  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  let freshAt = performance.now();
  let paused = false;
  let lost = false;
  let timer = 0;
  let asking = null;

  function localize(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const local = clock.format(new Date(time.dateTime));
      if ("clock" in time.dataset) time.textContent = local;
      else time.title = local;
    }
  }

  const keyOf = (node) => (node.nodeType === 1 ? node.dataset.key || node.id || null : null);
  const alike = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    // What somebody opened, typed or chose is theirs.
    const theirs = { DETAILS: ["open"], INPUT: ["value", "checked"], OPTION: ["selected"], BUTTON: ["hidden"] }[old.nodeName] || [];
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !theirs.includes(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !theirs.includes(name)) old.setAttribute(name, value);
    }
    const wanted = new Set(Array.from(fresh.children, keyOf));
    const keyed = new Map();
    for (const child of [...old.children]) {
      const key = keyOf(child);
      if (key && wanted.has(key)) keyed.set(key, child);
      else if (key) child.remove();
    }
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const key = keyOf(next);
      let match = key ? keyed.get(key) : at;
      if (match && !alike(match, next)) match = null;
      if (!match) old.insertBefore(next, at);
      else {
        if (match === at) at = at.nextSibling;
        else old.insertBefore(match, at);
        morph(match, next);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function say() {
    const seconds = Math.round((performance.now() - freshAt) / 1000);
    const age = seconds < 2 ? "now" : seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
    live.dataset.state = paused ? "still" : lost ? "lost" : "on";
    said.textContent = `${paused ? "Paused" : lost ? "No answer" : "Live"} · ${age}`;
  }

  async function refresh() {
    clearTimeout(timer);
    if (asking) asking.abort();
    const mine = (asking = new AbortController());
    const patience = setTimeout(() => mine.abort(), PATIENCE);
    try {
      const answer = await fetch(location.href, { signal: mine.signal, headers: { Accept: "text/html" } });
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== asking) return;
      localize(page);
      const focused = document.activeElement;
      morph(document.getElementById("main"), page.getElementById("main"));
      // Something that changed its place lost the focus on the way.
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
      document.title = page.title;
      freshAt = performance.now();
      lost = false;
    } catch {
      if (mine !== asking) return;
      lost = true;
    } finally {
      clearTimeout(patience);
      if (mine === asking) {
        asking = null;
        say();
        schedule();
      }
    }
  }

  function schedule() {
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(refresh, EVERY);
  }

  function search() {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) asked.set(name, value);
    const query = String(asked);
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    refresh();
  }

  localize(document);
  say();
  schedule();
  setInterval(say, 1000);

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    say();
    if (paused) schedule();
    else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!paused) refresh();
  });
  if (form) {
    let typing = 0;
    // What is typed is searched for at once.
    document.getElementById("submit").hidden = true;
    form.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(search, TYPING);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(typing);
      search();
    });
  }
})();
