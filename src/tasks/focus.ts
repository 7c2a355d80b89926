import * as React from 'react';

/**
 * Give the focus to something when what had it is gone, or can have it no longer. Without the focus
 * a dialog does not hear its keys.
 *
 * @param find - gives what takes the focus.
 * @param when - may have taken the focus away when it changes.
 * @param isNew - whether the focus may be lost already when this is drawn first.
 */
export function useLostFocus(
  find: () => HTMLElement | null,
  when: unknown,
  isNew = false
): void {
  const isDrawn = React.useRef(isNew);
  React.useLayoutEffect(() => {
    if (isDrawn.current && isLost(document.activeElement)) {
      find()?.focus({ preventScroll: true });
    }
    isDrawn.current = true;
  }, [when]);
}

function isLost(active: Element | null): boolean {
  return (
    active === null ||
    active === document.body ||
    active.matches(':disabled') ||
    active.closest('[inert]') !== null
  );
}
