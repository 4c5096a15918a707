/** Waits for `ms` milliseconds, or until the signal aborts. With `unref` the wait does not keep the process alive. */
export async function sleep(
  ms: number,
  signal: AbortSignal | undefined,
  { unref = false }: { unref?: boolean } = {},
): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>(resolve => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    // Timers of browsers have no `unref`.
    if (unref) timer.unref?.();
    signal?.addEventListener('abort', wake);
  });
}
