import type { TranslationBundle } from '@jupyterlab/translation';
import type { WidgetProps } from '@rjsf/utils';
import * as React from 'react';
import type { Environment, Place } from '../api';
import { describedBy, type IFormContext } from './templates';
import { syntaxOf } from './values';

/**
 * The option that asks for a path. No environment has it: paths begin with a slash.
 */
const OTHER = 'other';

const USER_PLACE = 'user';

/**
 * What every input has in common.
 */
function commonProps(props: WidgetProps) {
  const { id, value, rawErrors, required, onBlur } = props;
  return {
    id,
    value: (value ?? '') as string,
    className: 'jp-PySparkKernels-input',
    'aria-describedby': describedBy(props),
    'aria-invalid': Boolean(rawErrors?.length),
    'aria-required': required,
    onBlur: () => onBlur(id, value)
  };
}

function contextOf(props: WidgetProps): IFormContext {
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
 * The environments that were found, and a way to give the path of any other.
 */
export function EnvironmentWidget(props: WidgetProps): JSX.Element {
  const { id, placeholder, value, onChange } = props;
  const { environments, trans } = contextOf(props);
  const usable = environments.filter(({ problem }) => problem === null);
  const unusable = environments.filter(({ problem }) => problem !== null);
  const [isTyped, setTyped] = React.useState(
    () => !usable.some(({ path }) => path === value)
  );
  const { 'aria-invalid': isWrong, ...common } = commonProps(props);
  const pathId = `${id}-path`;
  return (
    <>
      <select
        {...common}
        aria-invalid={isWrong && !isTyped}
        value={isTyped ? OTHER : value}
        onChange={({ target }) => {
          setTyped(target.value === OTHER);
          onChange(target.value === OTHER ? '' : target.value);
        }}
      >
        {usable.map(environment => (
          <option key={environment.path} value={environment.path}>
            {describeEnvironment(environment, trans)}
          </option>
        ))}
        {unusable.map(environment => (
          <option key={environment.path} value={environment.path} disabled>
            {trans.__(
              '%1 (cannot be used)',
              describeEnvironment(environment, trans)
            )}
          </option>
        ))}
        <option value={OTHER}>{trans.__('Another path…')}</option>
      </select>
      {isTyped && (
        <div className="jp-PySparkKernels-otherPath">
          <label htmlFor={pathId}>{trans.__('Path of the environment')}</label>
          <input
            {...common}
            id={pathId}
            aria-invalid={isWrong}
            type="text"
            autoComplete="off"
            spellCheck={false}
            placeholder={placeholder}
            onChange={event => onChange(event.target.value)}
          />
        </div>
      )}
      <Reasons
        summary={trans._n(
          '%1 environment cannot be used',
          '%1 environments cannot be used',
          unusable.length
        )}
        reasons={unusable.flatMap(({ problem }) => problem ?? [])}
      />
    </>
  );
}

function describeEnvironment(
  { path, python_version, packages }: Environment,
  trans: TranslationBundle
): string {
  const { pyspark } = packages;
  if (python_version && pyspark) {
    return trans.__(
      '%1 — Python %2, PySpark %3',
      path,
      python_version,
      pyspark
    );
  }
  return python_version
    ? trans.__('%1 — Python %2, no PySpark', path, python_version)
    : path;
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
