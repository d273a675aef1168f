// The files that the tests read.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const web = join(dirname(fileURLToPath(import.meta.url)), '..', 'web');
export const read = (path) => readFileSync(join(web, path), 'utf8');

const walk = (dir) => readdirSync(dir, { withFileTypes: true })
  .flatMap((e) => (e.isDirectory() ? walk(join(dir, e.name)) : [join(dir, e.name)]));

export const all = walk(web).map((path) => relative(web, path)).sort();
export const modules = all.filter((path) => path.endsWith('.js') && !path.includes('/vendor/'));

// staticGraph lists the modules that come with these without import().
export function staticGraph(roots) {
  const seen = new Set();
  const visit = (path) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, to] of read(path).matchAll(/^(?:import|export)\b[^;]*?from\s+'(\.[^']+)';/gm)) visit(join(dirname(path), to));
  };
  roots.forEach(visit);
  return [...seen];
}
