import { caretDownIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

/** The list is at most this high, and has this much room to the edges of the window. */
const MAX_HEIGHT = 320;
const MARGIN = 8;
/** With less room than this below the field, the list goes above it if there is more. */
const MIN_HEIGHT = 160;

type InputProps = Omit<
  React.InputHTMLAttributes<HTMLInputElement>,
  'onChange' | 'onBlur'
>;

export interface IComboboxProps<T> extends InputProps {
  id: string;
  value: string;
  options: readonly T[];
  /** What the list is called for those who hear it. */
  label: string;
  /** What the button that opens the list is called. */
  toggleLabel: string;
  /** What is said when nothing matches. */
  emptyText: string;
  /** Says how many options there are. */
  countText: (count: number) => string;
  /** What is searched when somebody types. */
  textOf: (option: T) => string;
  valueOf: (option: T) => string;
  render: (option: T) => React.ReactNode;
  onValue: (value: string) => void;
  onBlur: () => void;
}

/**
 * An input with a list of what can be chosen, as WAI-ARIA describes a combobox with a list. Typing
 * narrows the list; whatever stands in the input is the value, in the list or not.
 */
export function Combobox<T>(props: IComboboxProps<T>): JSX.Element {
  const {
    options,
    label,
    toggleLabel,
    emptyText,
    countText,
    textOf,
    valueOf,
    render,
    onValue,
    onBlur,
    ...inputProps
  } = props;
  const { id, value } = props;
  const input = React.useRef<HTMLInputElement>(null);
  const [isOpen, setOpen] = React.useState(false);
  /** Whether the text was typed since the list was opened, and so narrows it. */
  const [isSearch, setSearch] = React.useState(false);
  const [active, setActive] = React.useState(-1);

  const found = isSearch ? matching(options, value, textOf) : options;
  const isListed = isOpen && found.length > 0;
  const listId = `${id}-list`;
  const optionId = (index: number): string => `${id}-option-${index}`;
  const open = (): void => {
    setOpen(true);
    setSearch(false);
    setActive(options.findIndex(option => valueOf(option) === value));
  };
  const close = (): void => setOpen(false);
  const choose = (index: number): void => {
    onValue(valueOf(found[index]));
    close();
  };
  const move = (step: number): void => {
    if (!isOpen) {
      open();
    } else if (found.length > 0) {
      const start = active === -1 && step < 0 ? 0 : active;
      setActive((start + step + found.length) % found.length);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      move(event.key === 'ArrowDown' ? 1 : -1);
    } else if (isOpen && event.key === 'Enter') {
      event.preventDefault();
      if (found[active] === undefined) {
        close();
      } else {
        choose(active);
      }
    } else if (isOpen && event.key === 'Escape') {
      event.preventDefault();
      close();
    }
  };
  const toggle = (): void => {
    input.current?.focus();
    if (isOpen) {
      close();
    } else {
      open();
    }
  };
  return (
    <div className="jp-PySparkKernels-combobox">
      <input
        {...inputProps}
        ref={input}
        type="text"
        role="combobox"
        autoComplete="off"
        spellCheck={false}
        aria-autocomplete="list"
        aria-haspopup="listbox"
        aria-expanded={isListed}
        aria-controls={isListed ? listId : undefined}
        aria-activedescendant={
          isOpen && found[active] !== undefined ? optionId(active) : undefined
        }
        // The dialog would take these for its own.
        {...(isOpen && { 'data-own-keys': true })}
        onChange={({ target }) => {
          onValue(target.value);
          setOpen(true);
          setSearch(true);
          setActive(-1);
        }}
        onClick={() => !isOpen && open()}
        onKeyDown={onKeyDown}
        onBlur={() => {
          close();
          onBlur();
        }}
      />
      <button
        type="button"
        tabIndex={-1}
        className="jp-PySparkKernels-toggle"
        aria-label={toggleLabel}
        aria-expanded={isOpen}
        // The focus stays in the input.
        onMouseDown={event => event.preventDefault()}
        onClick={toggle}
      >
        <caretDownIcon.react tag="span" />
      </button>
      {isOpen && (
        <Popup anchor={input}>
          {isListed ? (
            <ul id={listId} role="listbox" aria-label={label}>
              {found.map((option, index) => (
                <Item
                  key={valueOf(option)}
                  id={optionId(index)}
                  isActive={index === active}
                  isChosen={valueOf(option) === value}
                  onChoose={() => choose(index)}
                >
                  {render(option)}
                </Item>
              ))}
            </ul>
          ) : (
            <p>{emptyText}</p>
          )}
        </Popup>
      )}
      <span className="jp-PySparkKernels-heard" role="status">
        {isOpen && (found.length > 0 ? countText(found.length) : emptyText)}
      </span>
    </div>
  );
}

export function Item(props: {
  id: string;
  isActive: boolean;
  isChosen: boolean;
  onChoose: () => void;
  children: React.ReactNode;
}): JSX.Element {
  const { id, isActive, isChosen, onChoose, children } = props;
  const item = React.useRef<HTMLLIElement>(null);
  React.useEffect(() => {
    const list = item.current?.parentElement;
    if (isActive && item.current && list) {
      scrollTo(list, item.current);
    }
  }, [isActive]);
  return (
    <li
      ref={item}
      id={id}
      role="option"
      aria-selected={isChosen}
      className={isActive ? 'jp-mod-active' : ''}
      onMouseDown={event => event.preventDefault()}
      onClick={onChoose}
    >
      {children}
    </li>
  );
}

/**
 * A box at a field that nothing cuts off and that moves nothing else.
 */
export function Popup(props: {
  anchor: React.RefObject<HTMLElement>;
  children: React.ReactNode;
}): JSX.Element {
  const { anchor, children } = props;
  const [style, setStyle] = React.useState<React.CSSProperties>({});
  React.useLayoutEffect(() => {
    const place = (): void => {
      if (anchor.current) {
        setStyle(placeAt(anchor.current.getBoundingClientRect()));
      }
    };
    place();
    // Whatever scrolls or changes its size may move the field.
    window.addEventListener('scroll', place, true);
    window.addEventListener('resize', place);
    return () => {
      window.removeEventListener('scroll', place, true);
      window.removeEventListener('resize', place);
    };
  }, [anchor]);
  return (
    <div
      className="jp-PySparkKernels-popup"
      style={style}
      // The focus stays in the input, also when somebody drags the scroll bar.
      onMouseDown={event => event.preventDefault()}
    >
      {children}
    </div>
  );
}

function placeAt({ top, bottom, left, width }: DOMRect): React.CSSProperties {
  const below = window.innerHeight - bottom - MARGIN;
  const above = top - MARGIN;
  return below < MIN_HEIGHT && above > below
    ? {
        left,
        width,
        bottom: window.innerHeight - top,
        maxHeight: Math.min(above, MAX_HEIGHT)
      }
    : { left, width, top: bottom, maxHeight: Math.min(below, MAX_HEIGHT) };
}

/**
 * Bring an item into sight by scrolling its list, and nothing around the list.
 */
function scrollTo(list: Element, item: HTMLElement): void {
  const [outer, inner] = [list, item].map(node => node.getBoundingClientRect());
  if (inner.top < outer.top) {
    list.scrollTop -= outer.top - inner.top;
  } else if (inner.bottom > outer.bottom) {
    list.scrollTop += inner.bottom - outer.bottom;
  }
}

/**
 * Find the options that have every word that was typed.
 */
function matching<T>(
  options: readonly T[],
  text: string,
  textOf: (option: T) => string
): readonly T[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return options.filter(option => {
    const searched = textOf(option).toLowerCase();
    return words.every(word => searched.includes(word));
  });
}
