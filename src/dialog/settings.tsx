/**
 * The lines of Spark settings, with the keys that the chosen Spark knows.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { WidgetProps } from '@rjsf/utils';
import * as React from 'react';
import type { Setting } from '../api';
import { Item, Popup } from './combobox';
import {
  complete,
  completionAt,
  type IOption,
  type ITyped
} from './completion';
import { commonProps, contextOf } from './widgets';
import { syntaxOf } from './values';

/**
 * Text with a list of what can be typed next. The list is never in the way: whatever is typed
 * stands as it was typed.
 */
export function SettingsWidget(props: WidgetProps): JSX.Element {
  const { id, name, readonly, onChange } = props;
  const { trans, catalogue, readSettings } = contextOf(props);
  const common = commonProps(props);
  const area = React.useRef<HTMLTextAreaElement>(null);
  const [caret, setCaret] = React.useState(0);
  /** Whether there is a list where something matches, also when nothing was typed. */
  const [isOpen, setOpen] = React.useState(false);
  const [isAsked, setAsked] = React.useState(false);
  const [active, setActive] = React.useState(0);
  const moved = React.useRef<number | null>(null);
  React.useLayoutEffect(() => {
    if (moved.current !== null) {
      area.current?.setSelectionRange(moved.current, moved.current);
      moved.current = null;
    }
  });

  const typed: ITyped = { text: common.value, caret };
  const settings = catalogue.settings?.settings ?? [];
  const completion = isOpen ? completionAt(typed, settings, isAsked) : null;
  const options = completion?.options ?? [];
  const chosen = options[active];
  const listId = `${id}-list`;
  const optionId = (index: number): string => `${id}-option-${index}`;
  const close = (): void => {
    setOpen(false);
    setAsked(false);
  };
  const accept = (option: IOption): void => {
    if (completion) {
      const made = complete(typed, completion, option);
      moved.current = made.caret;
      setCaret(made.caret);
      onChange(made.text);
      // After a key come its values, when they are few.
      setOpen(!option.isValue);
      setAsked(false);
      setActive(0);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const { key, ctrlKey } = event;
    if (ctrlKey && key === ' ') {
      event.preventDefault();
      setOpen(true);
      setAsked(true);
      setActive(0);
      return;
    }
    if (options.length === 0 || ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    if (key === 'ArrowDown' || key === 'ArrowUp') {
      event.preventDefault();
      const step = key === 'ArrowDown' ? 1 : -1;
      setActive((active + step + options.length) % options.length);
    } else if (
      chosen &&
      !event.shiftKey &&
      (key === 'Enter' || key === 'Tab')
    ) {
      event.preventDefault();
      accept(chosen);
    } else if (key === 'Escape') {
      event.preventDefault();
      close();
    }
  };
  const isListed = options.length > 0;
  return (
    <div className="jp-PySparkKernels-settings">
      <textarea
        {...common}
        ref={area}
        rows={4}
        wrap="off"
        spellCheck={false}
        placeholder={syntaxOf(name).example}
        readOnly={readonly}
        aria-autocomplete="list"
        aria-haspopup="listbox"
        aria-controls={isListed ? listId : undefined}
        aria-activedescendant={chosen && optionId(active)}
        aria-describedby={`${common['aria-describedby']} ${id}-state`}
        // The dialog would take these for its own.
        {...(isListed && { 'data-own-keys': true })}
        onFocus={() => readSettings()}
        onChange={({ target }) => {
          setCaret(target.selectionStart);
          setOpen(true);
          setAsked(false);
          setActive(0);
          // The Spark may have been chosen since this got the focus.
          readSettings();
          onChange(target.value);
        }}
        onSelect={({ currentTarget }) => {
          if (currentTarget.selectionStart !== caret) {
            setCaret(currentTarget.selectionStart);
            close();
          }
        }}
        onKeyDown={onKeyDown}
        onBlur={() => {
          close();
          common.onBlur();
        }}
      />
      {isListed && (
        <Popup anchor={area}>
          <ul
            id={listId}
            role="listbox"
            aria-label={trans.__('Spark settings')}
          >
            {options.map((option, index) => (
              <Item
                key={option.text}
                id={optionId(index)}
                isActive={index === active}
                isChosen={index === active}
                onChoose={() => accept(option)}
              >
                <OptionView option={option} trans={trans} />
              </Item>
            ))}
          </ul>
          {chosen && <Help setting={chosen.setting} trans={trans} />}
        </Popup>
      )}
      <p
        id={`${id}-state`}
        className={
          catalogue.state === 'failed'
            ? 'jp-PySparkKernels-hint'
            : 'jp-PySparkKernels-description'
        }
        role="status"
      >
        {catalogue.text}
      </p>
      <span className="jp-PySparkKernels-heard" role="status">
        {isListed &&
          trans._n('%1 setting matches.', '%1 settings match.', options.length)}
      </span>
    </div>
  );
}

function OptionView(props: {
  option: IOption;
  trans: TranslationBundle;
}): JSX.Element {
  const { option, trans } = props;
  const { text, setting, isValue } = option;
  const isDefault = isValue && setting.default === text;
  return (
    <div className="jp-PySparkKernels-option">
      <span className="jp-PySparkKernels-key">{text}</span>
      <span className="jp-PySparkKernels-facts">
        {isValue ? isDefault && trans.__('default') : typeText(setting, trans)}
      </span>
    </div>
  );
}

/**
 * What Spark says of the setting that the list points to.
 */
function Help(props: {
  setting: Setting;
  trans: TranslationBundle;
}): JSX.Element {
  const { setting, trans } = props;
  const { since, unit, choices } = setting;
  const facts = [
    setting.default === null
      ? trans.__('No default.')
      : setting.default === ''
        ? trans.__('Default: empty.')
        : trans.__('Default: %1.', setting.default),
    unit && trans.__('A number alone is in %1.', unit),
    choices && trans.__('One of: %1.', choices.join(', ')),
    since && trans.__('Since Spark %1.', since)
  ];
  return (
    <div className="jp-PySparkKernels-help" role="note">
      <p>{setting.help || trans.__('Spark says nothing of it.')}</p>
      <p className="jp-PySparkKernels-facts">
        {facts.filter(Boolean).join(' ')}
      </p>
    </div>
  );
}

function typeText({ type }: Setting, trans: TranslationBundle): string {
  switch (type) {
    case 'boolean':
      return trans.__('true or false');
    case 'integer':
      return trans.__('whole number');
    case 'decimal':
      return trans.__('number');
    case 'bytes':
      return trans.__('memory');
    case 'time':
      return trans.__('time');
    case 'list':
      return trans.__('list');
    default:
      return trans.__('text');
  }
}
