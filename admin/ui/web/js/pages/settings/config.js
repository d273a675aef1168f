import { useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { apiTagged } from '../../lib/api.js';
import { useEvent } from '../../lib/events.js';
import { t } from '../../lib/i18n.js';
import { toast } from '../../ui/toast.js';
import { changes, merge, patchOf, put, resolve } from './diff.js';

// useConfig holds the server's fields, the operator's draft over them, and what is
// wrong with it. A 412 leads to `conflicts`, the fields that both sides changed.
export function useConfig() {
  const [server, setServer] = useState(null), [draft, setDraft] = useState({}), [faults, setFaults] = useState({});
  const [error, setError] = useState(null), [busy, setBusy] = useState(false), [conflicts, setConflicts] = useState(null);
  const now = useRef({});
  now.current = { server, draft };

  const adopt = ({ data, etag }) => { setServer({ fields: data.fields ?? {}, etag }); setError(null); };
  const load = () => apiTagged('config').then(adopt, setError);
  useEffect(() => { load(); }, []);
  useEvent('config', ({ etag }) => {
    const { server: known, draft: mine } = now.current;
    if (known && etag !== known.etag && !Object.keys(mine).length) load();
  }, []);

  const set = (name, value) => {
    setFaults(({ [name]: _, ...rest }) => rest);
    setDraft((d) => put(server.fields, d, name, value));
  };
  const fail = (name, fault) => setFaults((f) => ({ ...f, [name]: fault }));
  const discard = () => { setDraft({}); setFaults({}); setError(null); };

  // rebase puts the draft on the newest fields; it answers the conflicts.
  const rebase = async () => {
    const fresh = await apiTagged('config'), base = server.fields;
    const merged = merge(base, draft, fresh.data.fields);
    adopt(fresh);
    setDraft(merged.draft);
    return { merged, fresh };
  };

  const send = async (mine, etag) => {
    const body = patchOf(server.fields, mine);
    setBusy(true);
    setError(null);
    try {
      adopt(await apiTagged('config', { method: 'PATCH', body, headers: etag ? { 'If-Match': etag } : {} }));
      setDraft({});
      setFaults({});
      toast({ text: t('settings.saved', { n: Object.keys(body).length }) });
      return true;
    } catch (e) {
      if (e.status === 412) return clash();
      setError(e);
      setFaults(Object.fromEntries((e.errors ?? []).map(({ field, code, message }) => [field, message ?? code])));
      return false;
    } finally { setBusy(false); }
  };
  const clash = async () => {
    const { merged, fresh } = await rebase();
    if (merged.conflicts.length) { setConflicts(merged.conflicts); return false; }
    if (!Object.keys(merged.draft).length) { toast({ text: t('settings.sameAlready') }); return true; }
    return send(merged.draft, fresh.etag);
  };
  return {
    fields: server?.fields, draft, faults, error, busy, conflicts, load, set, fail, discard,
    changes: server ? changes(server.fields, draft) : [],
    adopt: (data) => { adopt({ data, etag: null }); load(); },
    save: () => send(draft, server.etag),
    settle: (choices) => {
      const kept = resolve(draft, choices);
      setConflicts(null);
      setDraft(kept);
      return Object.keys(kept).length ? send(kept, server.etag) : Promise.resolve(true);
    },
    giveUp: () => setConflicts(null),
    // merged takes values of a file over the draft; unknown and locked ones are left out.
    take: (values) => {
      let next = draft, left = [];
      for (const [name, value] of Object.entries(values)) {
        const field = server.fields[name];
        if (!field || field.locked) left = [...left, name];
        else next = put(server.fields, next, name, value);
      }
      setDraft(next);
      return left;
    },
  };
}
