import type { TranslationBundle } from '@jupyterlab/translation';
import type { WidgetProps } from '@rjsf/utils';
import * as React from 'react';
import type { Place } from '../api';
import { describedBy, type IFormContext } from './templates';
import { syntaxOf } from './values';

const USER_PLACE = 'user';

/**
 * What every control has in common.
 */
function checkableProps(props: WidgetProps) {
  const { id, value, rawErrors, onBlur } = props;
  return {
    id,
    'aria-describedby': describedBy(props),
    'aria-invalid': Boolean(rawErrors?.length),
    onBlur: () => onBlur(id, value)
  };
}

/**
 * What every input has in common.
 */
export function commonProps(props: WidgetProps) {
  const { value, required } = props;
  return {
    ...checkableProps(props),
    value: (value ?? '') as string,
    className: 'jp-PySparkKernels-input',
    'aria-required': required
  };
}

export function contextOf(props: WidgetProps): IFormContext {
  return props.formContext as unknown as IFormContext;
}

/**
 * A line of text, or a number: it is kept as it is typed.
 */
export function TextWidget(props: WidgetProps): JSX.Element {
  const { options, placeholder, readonly, onChange } = props;
  return (
    <input
      {...commonProps(props)}
      type="text"
      inputMode={options.numeric ? 'numeric' : undefined}
      autoComplete="off"
      spellCheck={false}
      placeholder={placeholder}
      readOnly={readonly}
      onChange={event => onChange(event.target.value)}
    />
  );
}

/**
 * Names and values, one in a line.
 */
export function LinesWidget(props: WidgetProps): JSX.Element {
  const { name, readonly, onChange } = props;
  return (
    <textarea
      {...commonProps(props)}
      rows={4}
      wrap="off"
      spellCheck={false}
      placeholder={syntaxOf(name).example}
      readOnly={readonly}
      onChange={event => onChange(event.target.value)}
    />
  );
}

/**
 * Yes or no. Its label stands beside it.
 */
export function CheckboxWidget(props: WidgetProps): JSX.Element {
  const { value, readonly, onChange } = props;
  return (
    <input
      {...checkableProps(props)}
      type="checkbox"
      checked={value === 'true'}
      disabled={readonly}
      onChange={({ target }) => onChange(String(target.checked))}
    />
  );
}

/**
 * The directories that kernels can be written to.
 */
export function PlaceWidget(props: WidgetProps): JSX.Element {
  const { readonly, value, onChange } = props;
  const { places, trans } = contextOf(props);
  const known = places.some(({ id }) => id === value);
  return (
    <>
      <select
        {...commonProps(props)}
        disabled={readonly}
        onChange={event => onChange(event.target.value)}
      >
        {!known && <option value={value ?? ''}>{value ?? ''}</option>}
        {places.map(place => (
          <option
            key={place.id}
            value={place.id}
            disabled={place.reason !== null}
          >
            {describePlace(place, trans)}
          </option>
        ))}
      </select>
      <Reasons
        summary={trans.__('Why some directories cannot be chosen')}
        reasons={places.flatMap(({ reason }) => reason ?? [])}
      />
    </>
  );
}

function describePlace(
  { id, kernels }: Place,
  trans: TranslationBundle
): string {
  return id === USER_PLACE
    ? trans.__('Only you — %1', kernels)
    : trans.__('Everyone who uses %1', kernels);
}

/**
 * Why some options are disabled, for those who wonder.
 */
function Reasons(props: {
  summary: string;
  reasons: readonly string[];
}): JSX.Element | null {
  if (props.reasons.length === 0) {
    return null;
  }
  return (
    <details className="jp-PySparkKernels-reasons">
      <summary>{props.summary}</summary>
      <ul>
        {props.reasons.map(reason => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
    </details>
  );
}
