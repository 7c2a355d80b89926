import * as React from 'react';
import { createPortal } from 'react-dom';
import type { IAction } from './actions';

export interface IMenuProps {
  label: string;
  actions: readonly IAction[];
  /** Where it opens, in the window. */
  at: { x: number; y: number };
  /** Is called once, before anything else is done. */
  onClose: () => void;
}

const MARGIN = 4;

/**
 * A menu that also says why something cannot be done: its items can be reached all the same.
 */
export function Menu(props: IMenuProps): JSX.Element {
  const { label, actions, at, onClose } = props;
  const list = React.useRef<HTMLUListElement>(null);
  const [index, setIndex] = React.useState(0);
  const [place, setPlace] = React.useState({ left: at.x, top: at.y });
  React.useLayoutEffect(() => {
    if (list.current) {
      setPlace(within(list.current, at));
    }
  }, [at]);
  React.useLayoutEffect(() => {
    (list.current?.children[index] as HTMLElement | undefined)?.focus();
  }, [index]);
  React.useEffect(() => {
    const onDown = ({ target }: MouseEvent): void => {
      if (!list.current?.contains(target as Node)) {
        onClose();
      }
    };
    document.addEventListener('mousedown', onDown, true);
    window.addEventListener('blur', onClose);
    return () => {
      document.removeEventListener('mousedown', onDown, true);
      window.removeEventListener('blur', onClose);
    };
  }, [onClose]);
  const run = (action: IAction): void => {
    if (action.reason === null) {
      onClose();
      void action.run();
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const { key } = event;
    const last = actions.length - 1;
    if (key === 'ArrowDown') {
      setIndex(index === last ? 0 : index + 1);
    } else if (key === 'ArrowUp') {
      setIndex(index === 0 ? last : index - 1);
    } else if (key === 'Home') {
      setIndex(0);
    } else if (key === 'End') {
      setIndex(last);
    } else if (key === 'Enter' || key === ' ') {
      run(actions[index]);
    } else if (key === 'Escape' || key === 'Tab') {
      onClose();
    } else if (key.length === 1) {
      setIndex(startingWith(key, actions, index));
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return createPortal(
    <ul
      ref={list}
      className="jp-PySparkKernels-menu"
      role="menu"
      aria-label={label}
      style={place}
      onKeyDown={onKeyDown}
      onContextMenu={event => event.preventDefault()}
    >
      {actions.map((action, at) => (
        <li
          key={action.id}
          role="menuitem"
          tabIndex={at === index ? 0 : -1}
          aria-disabled={action.reason !== null}
          aria-keyshortcuts={action.key}
          data-action={action.id}
          onClick={() => run(action)}
          onMouseEnter={() => setIndex(at)}
        >
          <span>{action.label}</span>
          {action.key && <kbd aria-hidden="true">{action.key}</kbd>}
          {action.reason !== null && <small>{action.reason}</small>}
        </li>
      ))}
    </ul>,
    document.body
  );
}

/**
 * Give the next item that begins with a letter.
 */
function startingWith(
  letter: string,
  actions: readonly IAction[],
  index: number
): number {
  const order = actions.map((_, step) => (index + 1 + step) % actions.length);
  const found = order.find(at =>
    actions[at].label.toLowerCase().startsWith(letter.toLowerCase())
  );
  return found ?? index;
}

/**
 * Give the place of a menu that lies in the window as a whole.
 */
function within(
  menu: HTMLElement,
  { x, y }: IMenuProps['at']
): { left: number; top: number } {
  const { offsetWidth, offsetHeight } = menu;
  return {
    left: Math.max(
      MARGIN,
      Math.min(x, window.innerWidth - offsetWidth - MARGIN)
    ),
    top: Math.max(
      MARGIN,
      Math.min(y, window.innerHeight - offsetHeight - MARGIN)
    )
  };
}
