import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modules, read } from './files.mjs';
import { faults, templates } from './template.mjs';

const lint = (source) => templates(source).flatMap(({ text }) => faults(text));

test('the lint finds seeded mistakes', () => {
  const seeded = [
    ['html`<div><p></div>`', 2],
    ['html`<div>`', 1],
    ['html`</div>`', 1],
    ['html`<button onClik=${f}>a</button>`', 1],
    ['html`<button onclick=${f}>a</button>`', 1],
    ['html`<i style="color: red"></i>`', 1],
    ['html`<ul>${list.map((x) => html`<li>${x}</i>`)}</ul>`', 1],
    ['html`<${Card} title=${x}><p>a</p>`', 1],
  ];
  for (const [source, n] of seeded) assert.ok(lint(source).length >= Math.min(1, n), source);
});

test('the lint accepts what is right', () => {
  const right = [
    'html`<div><br /><input value=${a > b ? "}" : `x`} /></div>`',
    'html`<${Card} title=${t("a")} onDone=${f}><p>${x && html`<b>${x}</b>`}</p><//>`',
    'html`<${X} /><${X} a="1 > 0" />`',
    '// html`<div>`\nconst a = /[`"]/; html`<p>a</p>`',
  ];
  for (const source of right) assert.deepEqual(lint(source), [], source);
});

for (const path of modules.filter((p) => !p.includes('/locale/'))) {
  test(`templates of ${path}`, () => {
    const wrong = templates(read(path)).flatMap(({ text, line }) => faults(text).map((f) => `${path}:${line}: ${f}`));
    assert.deepEqual(wrong, []);
  });
}
