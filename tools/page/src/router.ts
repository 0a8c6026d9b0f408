/** Where in the page the person is: the browser's address. */

import { signal } from "@preact/signals";

export const place = signal(location.pathname + location.search);

addEventListener("popstate", () => {
  place.value = location.pathname + location.search;
});

export function go(to: string, options: { replace?: boolean } = {}): void {
  if (to === place.value) return;
  if (options.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.value = to;
}

/** A touch of a link of ours changes the page; what the browser does with one (a new tab) stays its own. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element).closest("a");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.hasAttribute("download")) return;
  if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/login")) return;
  event.preventDefault();
  if (link.hash && link.pathname === location.pathname) document.querySelector<HTMLElement>(link.hash)?.focus();
  else go(link.pathname + link.search);
}
