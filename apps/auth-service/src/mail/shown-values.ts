const MAX_LENGTHS: Record<string, number> = { link: 2048, userAgent: 120 };
const MAX_LENGTH = 256;

/** Makes the values of a template fit to be shown: bounded, without control characters, times as people read them. */
export function toShown(values: Record<string, string | undefined>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value && show(name, value)]));
}

function show(name: string, value: string): string {
  if (name === 'at' || name === 'expiresAt') return showTime(value);
  const text = name === 'userAgent' ? withoutLinks(value) : value;
  const maximum = MAX_LENGTHS[name] ?? MAX_LENGTH;
  const bounded = text.length > maximum ? `${text.slice(0, maximum)}…` : text;
  return bounded.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\uFFFD');
}

/** A caller chooses its user agent; mail readers make a link of whatever looks like one. */
function withoutLinks(userAgent: string): string {
  return userAgent.replace(/[:.@/]+(?=[\p{L}/])/gu, ' ');
}

function showTime(time: string): string {
  const [, day, minute] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/.exec(new Date(time).toISOString()) ?? [];
  return `${day} ${minute} UTC`;
}
