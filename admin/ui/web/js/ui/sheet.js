// sheet loads css/<name>.css for a page that is loaded lazily, once. Awaited at the
// top of the page's module, so that the page is never drawn without it; a sheet
// that does not come is no reason to show nothing.
const asked = new Map();

export function sheet(name) {
  if (!asked.has(name)) {
    asked.set(name, new Promise((resolve) => {
      const link = document.createElement('link');
      link.rel = 'stylesheet';
      link.href = new URL(`../../css/${name}.css`, import.meta.url).href;
      link.onload = resolve;
      link.onerror = resolve;
      document.head.append(link);
    }));
  }
  return asked.get(name);
}
