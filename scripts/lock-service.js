// Gives a new service its place in pnpm-lock.yaml, from that of a service whose dependencies include its own. Without it pnpm
// would resolve them again, for which it needs the registry, and in CI it would refuse to install.

/** @typedef {{ dependencies: Record<string, string>, devDependencies: Record<string, string> }} Manifest */

/**
 * Adds a folder in apps/ to the text of pnpm-lock.yaml. Returns the text as it was when a dependency is not among those of the
 * model: pnpm resolves it then.
 *
 * @param {string} lockfile
 * @param {string} folder
 * @param {Manifest} manifest
 * @param {string} model folder of the other service
 */
export function lockService(lockfile, folder, manifest, model) {
  const locked = readEntries(readImporter(lockfile, model));
  const sections = /** @type {const} */ (['dependencies', 'devDependencies']).map(section => ({
    section,
    entries: Object.keys(manifest[section]).map(name => locked.get(name)),
  }));
  if (sections.some(({ entries }) => entries.includes(undefined))) return lockfile;
  const text = sections.map(({ section, entries }) => `    ${section}:\n${entries.join('')}`).join('');
  const start = lockfile.indexOf('\nimporters:\n');
  const folders = [...lockfile.matchAll(/^ {2}(\S+):$/gm)].filter(({ index }) => index > start);
  const next = folders.find(([, other = '']) => other > folder);
  if (!next) return lockfile;
  return `${lockfile.slice(0, next.index)}  ${folder}:\n${text}\n${lockfile.slice(next.index)}`;
}

/** @param {string} lockfile @param {string} folder */
function readImporter(lockfile, folder) {
  const [, importer = ''] = lockfile.split(`\n  ${folder}:\n`, 2);
  return importer.split('\n\n', 1)[0] ?? '';
}

/**
 * The entries of an importer by the name of the dependency.
 *
 * @param {string} importer
 */
function readEntries(importer) {
  const entries = importer.matchAll(/^ {6}'?([^\s':]+)'?:\n(?: {8}.*\n?)+/gm);
  return new Map([...entries].map(([text, name]) => [name, text.endsWith('\n') ? text : `${text}\n`]));
}
