// Runs commands of the built command line in turn, for `command-line.ts`. A process for each would spend most of its time on
// loading the same modules.
import { Console } from 'node:console';
import { tmpdir } from 'node:os';
import { Readable, Writable } from 'node:stream';
import type { Command, Result } from './command-line.js';

// A file that a command takes for one to write must not end up among the sources.
process.chdir(tmpdir());
process.on('message', async (command: Command) => process.send?.(await run(command)));

// A chunk of a pipe is no longer than this.
const CHUNK_BYTES = 65_536;
let runs = 0;

function run({ cli, args, env, input }: Command): Promise<Result> {
  return new Promise(resolve => {
    const [stdout, stderr] = [collect(), collect()];
    const end = (code: typeof process.exitCode) =>
      resolve({ stdout: stdout.text(), stderr: stderr.text(), code: Number(code ?? 0) });
    process.argv = [process.execPath, cli, ...args];
    process.env = env;
    process.exitCode = undefined;
    process.exit = code => {
      end(code ?? process.exitCode);
      throw new Error('The command has ended.');
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(signal);
    const streams = { stdin: Readable.from(toChunks(input), { objectMode: false }), stdout, stderr };
    for (const [name, value] of Object.entries(streams))
      Object.defineProperty(process, name, { value, configurable: true });
    globalThis.console = new Console(streams);
    // Only this module is loaded again, and runs the command; those that it imports are there already.
    import(`${cli}?${++runs}`).then(
      () => end(process.exitCode),
      error => {
        stderr.write(String(error));
        end(1);
      },
    );
  });
}

function* toChunks(input: string): Iterable<Buffer> {
  const bytes = Buffer.from(input);
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) yield bytes.subarray(start, start + CHUNK_BYTES);
}

function collect(): Writable & { text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return Object.assign(stream, { text: () => Buffer.concat(chunks).toString() });
}
