// Runs before the first paint, so that a saved theme does not flash.
try {
  const saved = JSON.parse(localStorage.getItem('gb.theme'));
  if (saved === 'light' || saved === 'dark') document.documentElement.dataset.theme = saved;
} catch { /* storage is off or holds nonsense: follow the system */ }
