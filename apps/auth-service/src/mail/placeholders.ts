/** A piece of a template: text, the value of a placeholder, or a section that is there when a value is. */
export type Part = string | { name: string } | { name: string; section: Part[] };

const TAG = /\{\{([#/]?)(\w+)\}\}/;

/**
 * Parses a template: `{{name}}` is the value of a placeholder, and `{{#name}}…{{/name}}` a section that is left out when there is no
 * such value. Sections do not nest.
 *
 * @param uses whether each placeholder must or may be there; others must not
 */
export function parsePlaceholders(
  source: string,
  uses: Record<string, 'must' | 'may'>,
): { parts: Part[]; faults: string[] } {
  const faults: string[] = [];
  const seen = new Set<string>();
  const parts: Part[] = [];
  let section: { name: string; section: Part[] } | undefined;
  const add = (part: Part) => (section?.section ?? parts).push(part);

  // The beginning and the end of a section do not leave empty lines behind.
  let rest = source.replace(/^[ \t]*(\{\{[#/]\w+\}\})[ \t]*\n/gm, '$1');
  for (let tag = TAG.exec(rest); tag; tag = TAG.exec(rest)) {
    const [all, kind, name = ''] = tag;
    add(rest.slice(0, tag.index));
    rest = rest.slice(tag.index + all.length);
    if (!Object.hasOwn(uses, name)) faults.push(`has the unknown placeholder {{${name}}}`);
    if (kind === '/') {
      if (section?.name !== name) faults.push(`closes the section {{/${name}}} that is not open`);
      section = undefined;
    } else if (kind === '#') {
      if (section) faults.push(`opens the section {{#${name}}} within another one`);
      section = { name, section: [] };
      parts.push(section);
    } else {
      // Within a section of another value, it may be left out.
      if (!section || section.name === name) seen.add(name);
      add({ name });
    }
  }
  add(rest);
  if (section) faults.push(`does not close the section {{#${section.name}}}`);
  if (/\{\{|\}\}/.test(source.replace(new RegExp(TAG, 'g'), '')))
    faults.push('has {{ or }} that belong to no placeholder');
  for (const [name, use] of Object.entries(uses)) {
    if (use === 'must' && !seen.has(name)) faults.push(`lacks {{${name}}}`);
  }
  return { parts, faults };
}

/** Puts values in place of the placeholders. */
export function renderParts(parts: Part[], lookUp: (name: string) => string | undefined): string {
  return parts
    .map(part => {
      if (typeof part === 'string') return part;
      if (!('section' in part)) return lookUp(part.name) ?? '';
      return lookUp(part.name) === undefined ? '' : renderParts(part.section, lookUp);
    })
    .join('');
}
