import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '@latchkey/service-kit';
import { type Part, parsePlaceholders, renderParts } from './placeholders.js';
import { toShown } from './shown-values.js';

type Action = { username: string; link: string; expiresAt: string };
type Notice = { username: string; at: string; address?: string | undefined; userAgent?: string | undefined };

/** The values that each template shows. Times are RFC 3339, links are URLs. */
export type MailValues = {
  'email-change-requested': Notice;
  'email-changed': Notice;
  'email-removed': Notice;
  'sign-up-repeated': Omit<Action, 'expiresAt'>;
  invitation: Action;
  'new-sign-in': Notice;
  'passkey-added': Notice;
  'passkey-removed': Notice;
  'password-changed': Notice;
  'password-reset': Notice;
  'reset-password': Action;
  'sessions-ended': Notice;
  'factors-reset': Notice;
  /** How many are left, and the same as `few` when that is two or fewer. */
  'recovery-code-used': Notice & { left: string; few?: string | undefined };
  'recovery-codes-made': Notice;
  'totp-added': Notice;
  'totp-removed': Notice;
  test: { at: string };
  /** `repeated` when another sign-up with the address was waiting for its link. */
  'verify-email': Action & { repeated?: string | undefined };
};

export type TemplateName = keyof MailValues;

/** What a mail says. */
export type MailText = { subject: string; text: string; html: string };

/** Renders a mail of a template. */
export type Render = (template: string, values: Record<string, string | undefined>) => MailText;

type Use = 'must' | 'may';
type Uses<Values> = { [Name in keyof Required<Values>]: Use };

const ACTION = { username: 'may', link: 'must', expiresAt: 'may' } as const satisfies Uses<Action>;
const NOTICE = { username: 'may', at: 'may', address: 'may', userAgent: 'may' } as const satisfies Uses<Notice>;

// The placeholders of each template: those that it must have, and those that it may.
const PLACEHOLDERS: { [Name in TemplateName]: Uses<MailValues[Name]> } = {
  'email-change-requested': NOTICE,
  'email-changed': NOTICE,
  'email-removed': NOTICE,
  'sign-up-repeated': { username: 'may', link: 'must' },
  invitation: ACTION,
  'new-sign-in': NOTICE,
  'passkey-added': NOTICE,
  'passkey-removed': NOTICE,
  'password-changed': NOTICE,
  'password-reset': NOTICE,
  'reset-password': ACTION,
  'sessions-ended': NOTICE,
  'factors-reset': NOTICE,
  'recovery-code-used': { ...NOTICE, left: 'may', few: 'may' },
  'recovery-codes-made': NOTICE,
  'totp-added': NOTICE,
  'totp-removed': NOTICE,
  test: { at: 'may' },
  'verify-email': { ...ACTION, repeated: 'may' },
};
const LAYOUT = 'layout.html';
const IN_LAYOUT = { subject: 'may', content: 'must' } as const;

const FOLDER = fileURLToPath(new URL('mail-templates', import.meta.resolve('#package.json')));
const MAX_SUBJECT_LENGTH = 150;

type Template = { subject: string; text: Part[]; html: Part[] };

/** The names of the files of all templates. */
export const TEMPLATE_FILES: readonly string[] = [
  LAYOUT,
  ...Object.keys(PLACEHOLDERS).flatMap(name => [`${name}.html`, `${name}.txt`]),
];

/**
 * Reads the templates, those of a folder in place of the built-in ones.
 *
 * @throws ConfigError that names everything that is wrong with them
 */
export function loadTemplates(folder: string | undefined): Render {
  const complaints: string[] = [];
  const complain = (complaint: string) => void complaints.push(`MAIL_TEMPLATES_DIR: ${complaint}`);
  const replaced = folder === undefined ? [] : listFiles(folder, complain);
  const read = (file: string) => {
    const path = join(folder !== undefined && replaced.includes(file) ? folder : FOLDER, file);
    return readFileSync(path, 'utf8').replaceAll('\r\n', '\n');
  };
  const parse = (file: string, source: string, uses: Record<string, Use>): Part[] => {
    const { parts, faults } = parsePlaceholders(source, uses);
    for (const fault of faults) complain(`${file} ${fault}.`);
    return parts;
  };

  const layout = parse(LAYOUT, read(LAYOUT), IN_LAYOUT);
  const templates = new Map<string, Template>();
  for (const [name, uses] of Object.entries(PLACEHOLDERS)) {
    const [, subject = '', text = ''] = /^([^\n]*)\n\n(.*)$/s.exec(read(`${name}.txt`)) ?? [];
    const fault = judgeSubject(subject);
    if (fault) complain(`${name}.txt ${fault}.`);
    templates.set(name, {
      subject,
      text: parse(`${name}.txt`, text, uses),
      html: parse(`${name}.html`, read(`${name}.html`), uses),
    });
  }
  if (complaints.length > 0) throw new ConfigError(complaints);

  return (name, values) => {
    const template = templates.get(name);
    if (!template) throw new Error(`This version has no template "${name}".`);
    const { subject, text, html } = template;
    const shown = toShown(values);
    const content = renderParts(html, value => escapeHtml(shown[value]));
    const page: Record<string, string | undefined> = { subject: escapeHtml(subject), content };
    return { subject, text: renderParts(text, value => shown[value]), html: renderParts(layout, value => page[value]) };
  };
}

function listFiles(folder: string, complain: (complaint: string) => void): string[] {
  try {
    // A mounted ConfigMap has hidden files.
    const files = readdirSync(folder).filter(file => !file.startsWith('.'));
    const unknown = files.filter(file => !TEMPLATE_FILES.includes(file));
    for (const file of unknown) complain(`${file} is none of the templates: ${TEMPLATE_FILES.join(', ')}.`);
    return files;
  } catch (error) {
    complain(`${folder} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
    return [];
  }
}

/** Says what is wrong with a subject. It has no placeholders, so that no value reaches a header. */
function judgeSubject(subject: string): string | undefined {
  if (subject.trim() === '') return 'does not begin with a subject and an empty line';
  if (subject.includes('{{')) return 'has a placeholder in its subject';
  if (subject.length > MAX_SUBJECT_LENGTH) return `has a subject of more than ${MAX_SUBJECT_LENGTH} characters`;
  return /\p{Cc}/u.test(subject) ? 'has a control character in its subject' : undefined;
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Escapes text for HTML, also within quoted attributes. */
export function escapeHtml<T extends string | undefined>(text: T): T {
  return text?.replace(/[&<>"']/g, character => ENTITIES[character] as string) as T;
}
