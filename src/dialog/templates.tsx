import type { TranslationBundle } from '@jupyterlab/translation';
import type {
  FieldTemplateProps,
  ObjectFieldTemplateProps,
  WidgetProps
} from '@rjsf/utils';
import * as React from 'react';
import type { Environment, Place, Remark } from '../api';

/**
 * Begins the id of every input.
 */
export const ID_PREFIX = 'jp-PySparkKernels';

/**
 * What the form hands to its templates and widgets. rjsf draws a field anew when a value in here
 * changes, so these are plain data.
 */
export interface IFormContext {
  trans: TranslationBundle;
  environments: readonly Environment[];
  places: readonly Place[];
  advice: readonly Remark[];
  /** Whether the advanced fields are to be seen. */
  showsAdvanced: boolean;
}

/**
 * Name the texts that belong to an input, for those who hear them.
 */
export function describedBy(props: WidgetProps): string {
  const { id, name, rawErrors, formContext } = props;
  const { advice } = formContext as unknown as IFormContext;
  return [
    rawErrors?.length ? `${id}__error` : '',
    advice.some(({ field }) => field === name) ? `${id}__advice` : '',
    `${id}__description`
  ]
    .filter(Boolean)
    .join(' ');
}

/**
 * A label that belongs to its input, as JupyterLab's own template has none; and what there is to
 * say of the input.
 */
export function FieldTemplate(props: FieldTemplateProps): JSX.Element {
  const { id, children, label, rawDescription, rawErrors, required, uiSchema } =
    props;
  if (id === ID_PREFIX) {
    return children;
  }
  const { advice, trans } = props.formContext as unknown as IFormContext;
  const field = id.slice(ID_PREFIX.length + 1);
  const hints = advice.filter(remark => remark.field === field);
  const isShort = uiSchema?.['ui:options']?.short === true;
  return (
    <div
      className={`jp-PySparkKernels-field${isShort ? ' jp-mod-short' : ''}`}
      data-field={field}
    >
      <label htmlFor={id}>
        {label}
        {required && (
          <span className="jp-PySparkKernels-required">
            {' '}
            {trans.__('(required)')}
          </span>
        )}
      </label>
      {children}
      {rawErrors && rawErrors.length > 0 && (
        <div
          id={`${id}__error`}
          className="jp-PySparkKernels-error"
          role="alert"
        >
          <Paragraphs texts={rawErrors} />
        </div>
      )}
      {hints.length > 0 && (
        <div id={`${id}__advice`} className="jp-PySparkKernels-advice">
          <Paragraphs
            texts={hints.map(({ message }) => trans.__('Hint: %1', message))}
          />
        </div>
      )}
      <div id={`${id}__description`} className="jp-PySparkKernels-description">
        {rawDescription}
      </div>
    </div>
  );
}

/**
 * The fields that every kernel needs, and the others folded away.
 */
export function ObjectFieldTemplate(
  props: ObjectFieldTemplateProps
): JSX.Element {
  const { properties, uiSchema } = props;
  const { showsAdvanced, trans } = props.formContext as unknown as IFormContext;
  const details = React.useRef<HTMLDetailsElement>(null);
  React.useEffect(() => {
    if (showsAdvanced && details.current) {
      details.current.open = true;
    }
  }, [showsAdvanced]);
  const isAdvanced = (name: string): boolean =>
    uiSchema?.[name]?.['ui:options']?.advanced === true;
  return (
    <>
      <div className="jp-PySparkKernels-fields">
        {properties
          .filter(({ name }) => !isAdvanced(name))
          .map(({ content }) => content)}
      </div>
      <details ref={details} className="jp-PySparkKernels-section">
        <summary>{trans.__('Advanced')}</summary>
        <div className="jp-PySparkKernels-fields">
          {properties
            .filter(({ name }) => isAdvanced(name))
            .map(({ content }) => content)}
        </div>
      </details>
    </>
  );
}

export function Paragraphs(props: { texts: readonly string[] }): JSX.Element {
  return (
    <>
      {props.texts.map(text => (
        <p key={text}>{text}</p>
      ))}
    </>
  );
}
