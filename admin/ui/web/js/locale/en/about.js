export default {
  'about.checks': 'Checks', 'about.again': 'Check again', 'about.fine': 'All is well', 'about.none': 'No check has run yet',
  'about.warn': { one: '{n} warning', other: '{n} warnings' }, 'about.bad': { one: '{n} fault', other: '{n} faults' },
  'about.check.storage': 'Storage', 'about.check.store': 'Storage', 'about.check.upstream': 'Google', 'about.check.pool': 'Key pool', 'about.check.clock': 'Clock',
  'about.check.sync': 'Models', 'about.check.models': 'Models', 'about.check.log': 'Request log', 'about.check.request_log': 'Request log', 'about.check.disk': 'Free disk',
  'about.check.restore': 'Restore', 'about.figure.sys_bytes': 'Memory',
  'about.check.config': 'Configuration', 'about.check.prices': 'Prices', 'about.check.proxy': 'Proxies', 'about.check.routes': 'Proxies', 'about.check.tls': 'Encryption',
  'about.figures': 'Figures', 'about.figure.version': 'Version', 'about.figure.commit': 'Commit', 'about.figure.caddy': 'Caddy', 'about.figure.go': 'Go', 'about.figure.os': 'System',
  'about.figure.uptime_s': 'Up for', 'about.figure.started_at': 'Started', 'about.figure.started': 'Started', 'about.figure.goroutines': 'Goroutines', 'about.figure.heap_bytes': 'Heap',
  'about.figure.streams': 'Open streams', 'about.figure.sessions': 'Sessions', 'about.figure.config_loaded_at': 'Configuration loaded', 'about.figure.in_flight': 'In flight',
  'about.figure.store': 'Storage', 'about.figure.path': 'Path', 'about.figure.cpus': 'CPUs', 'about.figure.arch': 'Architecture',
  'about.more': 'More', 'about.diagnostics': 'Diagnostics file', 'about.diagnosticsText': 'This is the whole file. It holds no keys; look through it before you pass it on.',
  'about.download': 'Download', 'about.openapi': 'OpenAPI description', 'about.metrics': 'Metrics', 'about.docs': 'Documentation', 'about.licences': 'Licences of bundled code',
};
