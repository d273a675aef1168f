// A lint for htm templates: tags that are not closed or cross, and unknown events.
// It reads html`…` literals from the source; what ${…} holds is cut out first.

const voids = new Set(['br', 'hr', 'img', 'input', 'link', 'meta', 'source', 'col', 'wbr']);
const events = new Set(['Abort', 'Blur', 'Cancel', 'Change', 'Click', 'Close', 'CompositionEnd', 'CompositionStart', 'ContextMenu', 'DblClick', 'DragEnd',
  'DragEnter', 'DragLeave', 'DragOver', 'DragStart', 'Drop', 'Focus', 'FocusIn', 'FocusOut', 'Input', 'KeyDown', 'KeyUp', 'MouseEnter', 'MouseLeave', 'Paste',
  'PointerCancel', 'PointerDown', 'PointerEnter', 'PointerLeave', 'PointerMove', 'PointerUp', 'Scroll', 'Select', 'Submit', 'Toggle', 'Wheel']);

// templates answers the html literals of a source, nested ones on their own, with
// each ${…} replaced by "$", or by "$c" where it stands for a component.
export function templates(source) {
  const found = [];
  const literal = (start) => {
    let text = '';
    let i = start;
    while (source[i] !== '`') {
      if (i >= source.length) throw new Error('a template does not end');
      if (source.startsWith('${', i)) {
        text += /<\/?$/.test(text) ? '$c' : '$';
        i = code(i + 2);
      } else text += source[i++];
    }
    found.push({ text, line: source.slice(0, start).split('\n').length });
    return i + 1;
  };
  const plain = (start) => { // any other `…`
    let i = start;
    while (i < source.length && source[i] !== '`') i = source.startsWith('${', i) ? code(i + 2) : i + (source[i] === '\\' ? 2 : 1);
    return i + 1;
  };
  const quoted = (start) => {
    let i = start + 1;
    while (i < source.length && source[i] !== source[start]) i += source[i] === '\\' ? 2 : 1;
    return i + 1;
  };
  const regexp = (start) => {
    let i = start + 1;
    let set = false;
    while (i < source.length && (source[i] !== '/' || set)) {
      if (source[i] === '[') set = true;
      if (source[i] === ']') set = false;
      i += source[i] === '\\' ? 2 : 1;
    }
    return i + 1;
  };
  // code runs to the brace that closes it, or to the end; it answers the place behind.
  const code = (start) => {
    let depth = 0;
    let i = start;
    while (i < source.length) {
      const c = source[i];
      if (source.startsWith('//', i)) i = source.indexOf('\n', i) < 0 ? source.length : source.indexOf('\n', i);
      else if (source.startsWith('/*', i)) i = source.indexOf('*/', i) + 2;
      else if (source.startsWith('html`', i)) i = literal(i + 5);
      else if (c === '`') i = plain(i + 1);
      else if (c === '"' || c === "'") i = quoted(i);
      else if (c === '/' && /[=(,:;!&|?{}\n[>]\s*$/.test(source.slice(Math.max(0, i - 12), i))) i = regexp(i);
      else {
        if (c === '{') depth++;
        if (c === '}' && depth-- === 0) return i + 1;
        i++;
      }
    }
    return i;
  };
  code(0);
  return found;
}

// faults answers what is wrong with one template.
export function faults(text) {
  const wrong = [];
  const open = [];
  const clean = text.replace(/<!--.*?-->/gs, '');
  for (const [, end, name, attributes, self] of clean.matchAll(/<(\/?)([\w$-]+|(?=\/))((?:"[^"]*"|'[^']*'|[^>"'/]|\/(?!>))*)(\/?)>/g)) {
    if (end || name === '') {
      const last = open.pop();
      const closesAny = name === '' || name === '/' ;
      if (last === undefined) wrong.push(`</${name}> closes nothing`);
      else if (!closesAny && last !== name) wrong.push(`</${name}> closes <${last}>`);
      continue;
    }
    for (const [, event] of attributes.matchAll(/\bon([A-Z]\w*)=/g)) {
      if (name !== '$c' && !events.has(event)) wrong.push(`<${name}>: there is no event on${event}`);
    }
    if (/\bon[a-z]\w*=/.test(attributes)) wrong.push(`<${name}>: events are written onClick`);
    if (/\bstyle="/.test(attributes)) wrong.push(`<${name}>: a style attribute; use style=\${{…}}`);
    if (!self && !voids.has(name)) open.push(name);
  }
  if (open.length) wrong.push(`not closed: ${open.map((n) => `<${n}>`).join(' ')}`);
  return wrong;
}
