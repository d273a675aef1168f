// Which fields stand together, in which order. A field that no section names is
// shown under "other", so that a newer server's fields are not lost.
/** @type {[string, string[]][]} */
export const sections = [
  ['routing', ['strategy', 'affinity', 'retry.attempts', 'retry.budget', 'retry.wait', 'retry.hedge']],
  ['limits', ['limits.rpm', 'limits.tpm', 'limits.rpd', 'limits.tpd', 'limits.monthly_tokens', 'limits.concurrency',
    'limits.budget.day', 'limits.budget.month', 'limits.budget.total']],
  ['requests', ['models.unknown', 'reasoning', 'fetch_images', 'query_key', 'max_request_size', 'heartbeat']],
  ['timeouts', ['timeouts.connect', 'timeouts.first_output', 'timeouts.idle', 'timeouts.total']],
  ['keys', ['probe.enabled', 'validation.model', 'validation.concurrency', 'validation.disable_invalid', 'keys.reveal']],
  ['log', ['request_log.retention', 'request_log.max_size', 'request_log.bodies']],
  ['security', ['session.idle', 'session.absolute']],
];

// panels are sections of other things than fields.
export const panels = ['appearance', 'backup', 'deleted', 'audit'];

const known = new Set(sections.flatMap(([, names]) => names));

// sectionsOf gives [id, names of the fields that the server has], none empty.
export function sectionsOf(fields) {
  const others = Object.keys(fields).filter((name) => !known.has(name));
  /** @type {[string, string[]][]} */
  const all = [...sections, ['other', others]];
  return all.map(([id, names]) => /** @type {[string, string[]]} */ ([id, names.filter((name) => name in fields)]))
    .filter(([id, names]) => names.length > 0 || id === 'security');
}
