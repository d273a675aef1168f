// The arithmetic of a list of which only the visible rows are drawn. All rows
// have the same height; offsets are row numbers.

// visible is the half-open range of rows to draw: those on screen and `over` more on each side.
export function visible(scrollTop, height, rowHeight, total, over) {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - over);
  const last = Math.min(total, Math.ceil((scrollTop + height) / rowHeight) + over);
  return [Math.min(first, Math.max(0, last)), Math.max(0, last)];
}

// pages are the numbers of the pages that hold the range and half a page beyond
// each end, so that rows are there before they come into view.
/** @param {number[]} range */
export function pages([first, last], total, size) {
  if (total <= 0) return [0];
  const from = Math.floor(Math.max(0, first - size / 2) / size);
  const to = Math.floor(Math.min(total - 1, last - 1 + size / 2) / size);
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

// reveal is the scroll position at which a row is wholly seen, nearest to the present one.
export function reveal(row, scrollTop, height, rowHeight) {
  if (row * rowHeight < scrollTop) return row * rowHeight;
  return Math.max(scrollTop, (row + 1) * rowHeight - height);
}

// seen is how much of a box of rows is seen: its end stands behind the dock.
export const seen = (box) => box.clientHeight - parseFloat(getComputedStyle(box).paddingBottom);
