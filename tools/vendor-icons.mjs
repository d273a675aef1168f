// node tools/vendor-icons.mjs icons.txt icon-nodes.json: the chosen Lucide icons as a module of path data.
import { readFileSync } from 'node:fs';

const [list, nodes] = process.argv.slice(2);
const all = JSON.parse(readFileSync(nodes, 'utf8'));
const lines = readFileSync(list, 'utf8').split('\n').filter((l) => l && !l.startsWith('#'));
const out = lines.map((line) => {
  const [ours, theirs] = line.trim().split(/\s+/);
  const found = all[theirs];
  if (!found) throw new Error(`icons.txt: Lucide has no icon "${theirs}"`);
  const parts = found.map(([tag, { key, ...attributes }]) => [tag, attributes]);
  return `  ${ours}: ${JSON.stringify(parts)},`;
});
console.log(`// Icons: Lucide, ISC licence. Made from icons.txt by tools/vendor-ui.sh; do not edit.\nexport default {\n${out.join('\n')}\n};`);
