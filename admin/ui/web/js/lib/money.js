// Money is counted in nano-dollars. What people type and read goes by its digits, not
// by floating point, so that 0.075 is 75,000,000 and comes back as 0.075.

// nanos reads an amount of dollars such as 1.25; undefined for what is none.
export function nanos(text) {
  const found = /^(\d{1,6}|(?=\.))(?:\.(\d{1,9}))?$/.exec(text);
  return found ? Number(found[1]) * 1e9 + Number((found[2] ?? '').padEnd(9, '0')) : undefined;
}

// dollars writes it with the digits that it has.
export function dollars(nano) {
  const rest = String(nano % 1e9).padStart(9, '0').replace(/0+$/, '');
  return Math.floor(nano / 1e9) + (rest && '.' + rest);
}
