import type { Command } from 'commander';
import { code, page, table } from './markdown.js';

const INTRODUCTION = `\`latchkey\` operates the service: [Operating](operating.md). It takes the same environment variables, and every command has \`--help\`.`;

/** The commands of the program, with their arguments and options. */
export function commandsPage(program: Command): string {
  return page('Commands', INTRODUCTION, ...leavesOf(program).map(describe));
}

/** Commands that do something. */
function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

function describe(command: Command): string {
  const help = command.createHelp();
  const names = [];
  for (let one: Command | null = command; one; one = one.parent) names.unshift(one.name());
  const usage = command.registeredArguments.map(
    argument => ` ${argument.required ? `<${argument.name()}>` : `[${argument.name()}]`}`,
  );
  const rows = [
    ...command.registeredArguments.map(argument => [code(argument.name()), help.argumentDescription(argument)]),
    ...command.options.map(option => [code(option.flags), help.optionDescription(option)]),
  ];
  const title = `## latchkey ${names.slice(1).join(' ')}`;
  const synopsis = `\`\`\`sh\n${names.join(' ')}${usage.join('')}\n\`\`\``;
  const text = `${command.description().replace(/^./, first => first.toUpperCase())}.`;
  return [title, synopsis, text, ...(rows.length > 0 ? [table(['argument or option', 'meaning'], rows)] : [])].join(
    '\n\n',
  );
}
