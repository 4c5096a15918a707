import { MultiBar, Presets } from 'cli-progress';

/** Shows the progress of a command on a terminal; elsewhere nothing. */
export type Progress = {
  /** @param note such as a count */
  update(done: number, note: string): void;
  /** Prints a line on standard error. */
  print(line: string): void;
  stop(): void;
};

/** @param total what `done` is at the end, when that is known */
export function showProgress(total: number | undefined): Progress {
  if (!process.stderr.isTTY)
    return { update: () => undefined, print: line => console.error(line), stop: () => undefined };
  const format = total === undefined ? '{note}' : '{bar} {percentage} %  {note}';
  const bars = new MultiBar({ stream: process.stderr, format, hideCursor: false }, Presets.shades_grey);
  const bar = bars.create(total ?? 1, 0, { note: '' });
  return {
    update: (done, note) => bar.update(done, { note }),
    print: line => bars.log(`${line}\n`),
    stop: () => bars.stop(),
  };
}
