// Every page of the UI. A page is a module that exports { title, Page } and is
// loaded when it is first shown; `texts` is its part of the locale (none: core).
// key is its letter after g; group its place in the navigation; admin: not for viewers.
export const pages = [
  { path: '/', name: 'overview', icon: 'overview', key: 'o', texts: 'overview', load: () => import('./overview.js') },
  { path: '/keys', name: 'keys', icon: 'key', key: 'k', group: 'pool', texts: 'keys', load: () => import('./keys.js') },
  { path: '/models', name: 'models', icon: 'models', key: 'm', group: 'pool', texts: 'models', load: () => import('./models.js') },
  { path: '/users', name: 'users', icon: 'users', key: 'u', group: 'access', texts: 'users', load: () => import('./users.js') },
  { path: '/requests', name: 'requests', icon: 'requests', key: 'r', group: 'traffic', texts: 'requests', load: () => import('./requests.js') },
  { path: '/playground', name: 'playground', icon: 'play', key: 'p', group: 'traffic', texts: 'playground', load: () => import('./playground.js') },
  { path: '/settings', name: 'settings', icon: 'settings', key: 's', group: 'system', texts: 'settings', load: () => import('./settings.js') },
  { path: '/about', name: 'about', icon: 'about', key: 'h', group: 'system', texts: 'about', load: () => import('./about.js') },
];

// The page for the first run; the shell shows it instead of signing in.
export const setupPage = { path: '/setup', name: 'setup', texts: 'setup', load: () => import('./setup.js') };

export const pageAt = (path) => (path === setupPage.path ? setupPage : pages.find((p) => p.path === path));
