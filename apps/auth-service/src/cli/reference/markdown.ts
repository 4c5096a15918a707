/** A table in Markdown. Its cells are Markdown, in which `|` is escaped. */
export function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map(cells => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

export const code = (text: string) => `\`${text}\``;

/** A page in Markdown, of paragraphs and tables. */
export const page = (title: string, ...parts: string[]) => [`# ${title}`, ...parts].join('\n\n');
