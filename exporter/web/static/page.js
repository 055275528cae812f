// Keeps the page fresh: asks the server for it again and replaces the parts that differ, so that the reader's place,
// focus and opened parts stay. Without this script the page is as good as a reload. All texts come from the page.
"use strict";

(() => {
  const EVERY = 5000;
  const TIMEOUT = 20000;
  const TYPING = 200;
  const COPIED = 2000;

  const byId = (id) => document.getElementById(id);
  const live = byId("live");
  const pause = byId("pause");
  const form = byId("search");
  const main = byId("main");
  const language = document.documentElement.lang;

  // The time zone of the page's own times: the reader's where none is configured, in which all times are then.
  const timeZone = main.dataset.zone || undefined;
  // As the server writes times: 24 hours, with the date unless it is today's.
  const time = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone });
  const date = new Intl.DateTimeFormat(language, { month: "short", day: "numeric" });
  const fullDate = new Intl.DateTimeFormat(language, { year: "numeric", month: "short", day: "numeric" });
  let answeredAt = new Date();
  let paused = false;
  let lost = false;
  let timer = 0;
  let pending = null;

  // Without any time zone in the configuration, times come in UTC, which the reader's own is nicer than.
  function clock(at) {
    const today = new Date();
    if (at.toDateString() === today.toDateString()) return time.format(at);
    return `${(at.getFullYear() === today.getFullYear() ? date : fullDate).format(at)} ${time.format(at)}`;
  }

  function localize(root) {
    for (const one of root.querySelectorAll("time[data-utc]")) one.textContent = clock(new Date(one.dateTime));
    for (const button of root.querySelectorAll("button.copy")) button.hidden = false;
  }

  const parts = (root) => [...root.querySelectorAll("[data-part]")];
  const names = (root) => parts(root).map((part) => part.dataset.part).join();
  const placeOf = (node) => {
    const keyed = node && node.closest("[data-key]");
    return keyed && { key: keyed.dataset.key, part: keyed.closest("[data-part]").dataset.part };
  };
  const find = (place) =>
    place && main.querySelector(`[data-part="${place.part}"] [data-key="${CSS.escape(place.key)}"]`);

  function replace(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    const open = new Set([...old.querySelectorAll("details[open]")].map((fold) => fold.dataset.key));
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const place = placeOf(focused);
    const top = focused && focused.getBoundingClientRect().top;
    for (const fold of fresh.querySelectorAll("details")) fold.open = open.has(fold.dataset.key);
    old.replaceWith(fresh);
    if (!focused) return;
    const same = [...(find(place) || fresh).querySelectorAll(focused.localName)];
    const next = same.find((node) => node.textContent === focused.textContent) || same[0];
    if (!next) return;
    next.focus({ preventScroll: true });
    scrollBy(0, next.getBoundingClientRect().top - top);
  }

  function update(page) {
    const before = byId("headline").textContent;
    const fresh = page.getElementById("main");
    localize(fresh);
    if (!String(getSelection()) || names(main) !== names(fresh)) {
      if (names(main) === names(fresh)) {
        const news = parts(fresh);
        parts(main).forEach((old, index) => replace(old, news[index]));
      } else if (form && form.contains(document.activeElement)) {
        return; // Nobody is interrupted; the next answer comes soon.
      } else {
        location.reload();
      }
    }
    document.title = page.title;
    const now = byId("headline").textContent;
    if (now !== before) byId("announcement").textContent = now.trim();
  }

  function show() {
    const at = time.format(answeredAt) + (timeZone === "UTC" ? " UTC" : "");
    const state = paused ? "still" : lost ? "lost" : "on";
    live.dataset.state = state;
    byId("live-text").textContent = `${live.dataset[state]} · ${at}`;
    // What nobody confirms any more loses its colours, and a headline says so above the old one.
    document.body.classList.toggle("without-answer", lost);
    byId("lost").hidden = !lost;
    byId("lost-headline").textContent = lost ? live.dataset.headline.replace("{time}", at) : "";
    byId("lost-below").textContent = lost ? live.dataset.below : "";
  }

  async function refresh() {
    clearTimeout(timer);
    if (pending) pending.abort();
    const mine = (pending = new AbortController());
    const deadline = setTimeout(() => mine.abort(), TIMEOUT);
    try {
      const answer = await fetch(location.href, { signal: mine.signal, headers: { Accept: "text/html" } });
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== pending) return;
      update(page);
      answeredAt = new Date();
      lost = false;
    } catch {
      if (mine !== pending) return;
      lost = true;
    } finally {
      clearTimeout(deadline);
      if (mine === pending) {
        pending = null;
        show();
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

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers offer their clipboard over HTTPS only.
      const area = document.createElement("textarea");
      area.value = text;
      button.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus({ preventScroll: true });
    }
    const label = button.textContent;
    button.textContent = button.dataset.done;
    byId("announcement").textContent = button.dataset.done;
    setTimeout(() => (button.textContent = label), COPIED);
  }

  localize(document);
  if (!timeZone) {
    const zone = byId("zone");
    zone.textContent = zone.dataset.own.replace("{zone}", time.resolvedOptions().timeZone);
  }
  show();
  schedule();

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    show();
    if (paused) schedule();
    else refresh();
  });
  main.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!paused) refresh();
  });
  if (form) {
    let typing = 0;
    // What is typed is searched for at once.
    byId("submit").hidden = true;
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
