import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import ts from 'typescript';
import { parseAllDocuments } from 'yaml';

/** What a kustomization makes, and of what. */
export type Kustomization = {
  manifests: any[];
  /** Of each ConfigMap that it generates. */
  settings: Record<string, Record<string, string>>;
  images: string[];
  files: string[];
};

// What is done here; a key that is not among them would be passed over in silence.
const KNOWN = ['apiVersion', 'kind', 'namespace', 'resources', 'images', 'configMapGenerator'];

/** Reads a YAML file of any number of documents, strictly. */
export function readYaml(file: string): any[] {
  return parseAllDocuments(readFileSync(file, 'utf8'), { strict: true, uniqueKeys: true, merge: true }).map(
    document => {
      for (const problem of [...document.errors, ...document.warnings]) throw new Error(`${file}: ${problem.message}`);
      return document.toJS();
    },
  );
}

/** Does what `kubectl kustomize` does, as far as the manifests here need it. */
export function readKustomization(dir: string): Kustomization {
  const file = join(dir, 'kustomization.yaml');
  const [content] = readYaml(file);
  const unknown = Object.keys(content).filter(key => !KNOWN.includes(key));
  if (unknown.length > 0) throw new Error(`${file}: ${unknown.join(', ')} is not understood here`);

  const made: Kustomization = { manifests: [], settings: {}, images: [], files: [file] };
  for (const resource of content.resources.map((path: string) => resolve(dir, path))) {
    if (!existsSync(resource)) throw new Error(`${file}: there is no ${resource}`);
    if (statSync(resource).isDirectory()) {
      const base = readKustomization(resource);
      made.manifests.push(...base.manifests);
      made.files.push(...base.files);
      Object.assign(made.settings, base.settings);
    } else {
      made.manifests.push(...readYaml(resource));
      made.files.push(resource);
    }
  }
  for (const { name, envs, behavior } of content.configMapGenerator ?? []) {
    if ((behavior === 'merge') !== name in made.settings) throw new Error(`${file}: ${name} is made twice, or never`);
    for (const path of envs.map((path: string) => resolve(dir, path))) {
      const values = parseEnv(readFileSync(path, 'utf8')) as Record<string, string>;
      made.settings[name] = { ...made.settings[name], ...values };
      made.files.push(path);
    }
  }
  made.images.push(...(content.images ?? []).map(({ name }: { name: string }) => name));
  return made;
}

/** All files below a folder. */
export function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name));
}

/**
 * Complaints about manifests that are not of the form that Kubernetes gives their kind: fields that it does not have or that
 * lack, values of another type. The compiler finds them, as literals of the types that were made from Kubernetes' schemas.
 *
 * @param file where to write the literals, in a folder from which the types are found
 */
export function complaintsAbout(manifests: any[], file: string): string[] {
  const source = manifests.map((manifest, index) => {
    const group = manifest.apiVersion === 'v1' ? 'core/v1' : manifest.apiVersion.replace('.k8s.io', '');
    return `export const _${index}: import('kubernetes-types/${group}').${manifest.kind} = ${JSON.stringify(manifest)};\n`;
  });
  ts.sys.writeFile(file, source.join(''));
  const program = ts.createProgram([file], {
    strict: true,
    noEmit: true,
    types: [],
    lib: ['lib.es5.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  });
  const complaints = ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const index = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line : 0;
    const { kind, metadata } = manifests[index];
    return { index, text: `${kind} ${metadata.name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}` };
  });
  return complaints.sort((a, b) => a.index - b.index).map(({ text }) => text);
}
