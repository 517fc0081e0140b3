// Refreshes the page in place: requests it again and replaces the elements marked `data-live`.
// The page also works without this script. Refreshing pauses while the page is hidden, and retries while
// the exporter is down. Focus, scroll position, selected text and open details are kept.
"use strict";

(() => {
  const timeout = 10000;
  const line = document.querySelector("[data-refreshing]");
  const text = document.querySelector("[data-refresh-text]");
  const button = document.querySelector("[data-refresh-button]");
  const seconds = Number(document.body.dataset.refreshSeconds);
  // Leaves out credentials: fetch rejects URLs that contain them.
  const address = new URL(location.pathname + location.search, location.origin);
  let timer = 0;
  let isAsking = false;
  let paused = false;
  let lostSince = null;

  const say = (words) => {
    if (text.textContent !== words) text.textContent = words;
  };

  const told = () => {
    line.classList.toggle("lost", !paused && lostSince !== null);
    button.textContent = paused ? "Resume" : "Pause";
    if (paused) say("Refresh is paused.");
    else if (lostSince) say(`No response since ${lostSince}. This page is out of date. Retrying.`);
    else say(`Refreshes every ${seconds} s.`);
  };

  const isSelecting = () => {
    const selection = document.getSelection();
    return selection !== null && !selection.isCollapsed;
  };

  const keyed = (root, key) =>
    [...root.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);

  const keepUnfolded = (before, after) => {
    for (const old of before.querySelectorAll("details[data-key]")) {
      const fresh = keyed(after, old.dataset.key);
      if (fresh) fresh.open = old.open;
    }
  };

  const takeOver = (page) => {
    const focused = document.activeElement;
    const key = focused?.closest("[data-live]") ? focused.dataset.key : undefined;
    const { scrollX, scrollY } = window;
    for (const before of document.querySelectorAll("[data-live]")) {
      const after = page.getElementById(before.id);
      if (!after) continue;
      keepUnfolded(before, after);
      before.replaceWith(document.adoptNode(after));
    }
    document.title = page.title;
    if (key !== undefined) keyed(document, key)?.focus({ preventScroll: true });
    window.scrollTo({ left: scrollX, top: scrollY, behavior: "instant" });
  };

  const refresh = async () => {
    const response = await fetch(address, {
      cache: "no-store",
      signal: AbortSignal.timeout(timeout),
    });
    const isPage = (response.headers.get("Content-Type") ?? "").startsWith("text/html");
    if (!isPage || (!response.ok && response.status !== 404)) throw new Error(`${response.status}`);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const isOther = page.documentElement.dataset.build !== document.documentElement.dataset.build;
    if (isOther || response.status === 404) location.reload();
    else if (!paused && !isSelecting()) takeOver(page);
  };

  const beat = async () => {
    isAsking = true;
    try {
      await refresh();
      lostSince = null;
    } catch {
      lostSince ??= new Date().toLocaleTimeString();
    }
    isAsking = false;
    told();
    plan(seconds * 1000);
  };

  const plan = (wait) => {
    clearTimeout(timer);
    if (!paused && !document.hidden && !isAsking) timer = setTimeout(beat, wait);
  };

  button.addEventListener("click", () => {
    paused = !paused;
    told();
    plan(0);
  });
  document.addEventListener("visibilitychange", () => plan(0));
  line.hidden = false;
  told();
  plan(seconds * 1000);
})();
