import { finished, type Readable } from 'node:stream';
import { type CsvError, parse } from 'csv-parse';

export type Format = 'ndjson' | 'csv';

/** A row of a file: its members as they are written, or why it cannot be read. */
export type FileRow = { line: number } & ({ members: Record<string, unknown> } | { problem: string });

// Much more than an account needs; a file without line ends must not fill the memory.
const MAX_ROW_BYTES = 65_536;
const NEWLINE = 10;

/** The columns that the first line of a CSV file names; any, when not given. */
export type Columns = { required: string[]; optional: string[] } | undefined;

type Parsed = { record: string[]; info: { lines: number } };
/** An error, with the number of lines and records before it. */
type Broken = CsvError & { lines: number; records: number };

/** Reads the rows of a file one by one; only one is in memory. */
export function readRows(input: Readable, format: Format, columns: Columns): AsyncIterable<FileRow> {
  return format === 'ndjson' ? readNdjson(input) : readCsv(input, columns);
}

async function* readNdjson(input: Readable): AsyncIterable<FileRow> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let line = 0;
  for await (const bytes of splitLines(input)) {
    line += 1;
    if (!bytes) {
      yield { line, problem: `is longer than ${MAX_ROW_BYTES} bytes` };
      continue;
    }
    try {
      const text = utf8.decode(bytes).trim();
      if (text === '') continue;
      const members: unknown = JSON.parse(text);
      const isObject = typeof members === 'object' && members !== null && !Array.isArray(members);
      yield isObject ? { line, members: { ...members } } : { line, problem: 'is not a JSON object' };
    } catch {
      // The parser's message quotes the line, which holds a hash.
      yield { line, problem: 'is not JSON in UTF-8' };
    }
  }
}

/** Yields lines without their ends, and `undefined` in place of a line that is too long. */
async function* splitLines(input: AsyncIterable<Buffer>): AsyncIterable<Buffer | undefined> {
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer) => {
    length += part.length;
    if (length > MAX_ROW_BYTES) parts = [];
    else parts.push(part);
  };
  const take = () => {
    const line = length > MAX_ROW_BYTES ? undefined : Buffer.concat(parts);
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield take();
}

async function* readCsv(input: Readable, columns: Columns): AsyncIterable<FileRow> {
  let broken: Broken | undefined;
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_ROW_BYTES,
    // After a misplaced quote, the content of a field could be read as rows. So reading ends there; the rows before it are
    // still emitted.
    skip_records_with_error: true,
    on_skip: error => {
      if (broken) return undefined;
      broken = error as Broken;
      input.unpipe(parser);
      parser.end();
      return undefined;
    },
  });
  finished(input, error => error && parser.destroy(error));
  let header: string[] | undefined;
  let seen = 0;
  for await (const { record, info } of input.pipe(parser) as AsyncIterable<Parsed>) {
    if (seen === broken?.records) break;
    seen += 1;
    if (header) yield toRow(record, header, info.lines);
    else header = checkHeader(record, columns);
  }
  if (!header && !broken) throw new Error('The file is empty. Its first line names the columns.');
  if (broken) yield { line: broken.lines, problem: `${explainCsv(broken)}; the rest of the file was not read` };
}

function toRow(fields: string[], header: string[], line: number): FileRow {
  if (fields.length !== header.length) {
    return { line, problem: `has ${fields.length} columns, but the first line names ${header.length}` };
  }
  return { line, members: Object.fromEntries(header.map((name, i) => [name, fields[i]])) };
}

function checkHeader(record: string[], columns: Columns): string[] {
  const header = record.map(name => name.trim());
  if (new Set(header).size !== header.length) throw new Error('The first line names a column twice.');
  if (!columns) return header;
  const { required, optional } = columns;
  const advice = `It must name the columns ${required.join(', ')}, and may name ${optional.join(', ')}.`;
  const at = header.findIndex(name => ![...required, ...optional].includes(name));
  if (at !== -1) {
    // A file without column names has an account's data there, which must not be shown.
    const name = /^[a-z_]{1,32}$/i.test(header[at] as string) ? ` ("${header[at]}")` : '';
    throw new Error(`The first line names an unknown column: column ${at + 1}${name}. ${advice}`);
  }
  if (!required.every(name => header.includes(name))) {
    throw new Error(`The first line lacks a required column. ${advice}`);
  }
  return header;
}

function explainCsv({ code }: CsvError): string {
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'has a quote that is not closed';
  if (code === 'CSV_MAX_RECORD_SIZE') return `is longer than ${MAX_ROW_BYTES} bytes; perhaps a quote is not closed`;
  return 'has a quote where RFC 4180 does not allow one';
}
