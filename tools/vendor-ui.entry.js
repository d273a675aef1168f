// What admin/ui/web/js/vendor/preact.mjs exports; tools/vendor-ui.sh bundles it.
import { h } from 'preact';
import htm from 'htm';

export { h, Fragment, render, Component, createContext, createPortal } from 'preact';
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId,
  useLayoutEffect, useMemo, useReducer, useRef, useState,
} from 'preact/hooks';
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from '@preact/signals';
export const html = htm.bind(h);
