// What must not outlive this process: children, folders.
const stops = new Set<() => Promise<void>>();

/** Makes `stop` run once: when called, or else when the command is interrupted or takes too long. */
export function stopsOnce(stop: () => Promise<void>): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  const once = () => {
    // Stays among them until it is done: who stops all waits for that too.
    stopping ??= stop().finally(() => stops.delete(once));
    return stopping;
  };
  stops.add(once);
  return once;
}

/** Stops whatever still runs, the newest first. */
export async function stopAll(): Promise<void> {
  for (const stop of [...stops].reverse()) await stop().catch(error => console.error(error));
}
