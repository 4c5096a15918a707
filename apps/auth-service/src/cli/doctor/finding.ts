/** The result of a check. */
export type Finding = {
  /** Scripts rely on it. */
  name: string;
  status: 'ok' | 'warn' | 'fail' | 'skip';
  detail: string;
  /** What to do about it. */
  advice?: string;
};

export const ok = (name: string, detail: string): Finding => ({ name, status: 'ok', detail });
export const warn = (name: string, detail: string, advice: string): Finding => ({
  ...{ name, status: 'warn', detail, advice },
});
export const fail = (name: string, detail: string, advice: string): Finding => ({
  ...{ name, status: 'fail', detail, advice },
});
export const skip = (name: string, because: string): Finding => ({
  ...{ name, status: 'skip', detail: `skipped, because ${because}` },
});

/** Formats a duration: `0.4 ms`, `260 ms`, `1.5 s`, `3 days`. */
export function duration(ms: number): string {
  if (ms >= 2 * 86_400_000) return `${Math.floor(ms / 86_400_000)} days`;
  return ms >= 1000 ? `${round(ms / 1000)} s` : `${round(ms)} ms`;
}

const round = (value: number) => Number(value.toPrecision(2)).toString();

/** `1 key`, `2 keys`. */
export const plural = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? '' : 's'}`;
