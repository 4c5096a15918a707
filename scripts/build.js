import { spawnSync } from 'node:child_process';

/** Builds what has changed; when that fails, says why and ends the process. */
export function build() {
  const { status, stdout, stderr, error } = spawnSync('turbo', ['run', 'build', '--output-logs=errors-only'], {
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', TURBO_NO_UPDATE_NOTIFIER: '1' },
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status === 0) return;
  console.error(stdout, stderr, error?.message ?? '');
  process.exit(status ?? 1);
}
