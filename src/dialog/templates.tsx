import type { TranslationBundle } from '@jupyterlab/translation';
import type {
  FieldTemplateProps,
  ObjectFieldTemplateProps,
  WidgetProps
} from '@rjsf/utils';
import * as React from 'react';
import type {
  Environment,
  KernelArchive,
  OfferedRule,
  Offers,
  Place,
  Remark
} from '../api';
import type { ITaskView } from '../tasks/model';
import { bytesText } from '../tasks/texts';
import type { ICatalogueView } from './catalogue';
import { ClusterFigures } from './cluster';
import { type IFiguresView, isAskedAbout } from './figures';
import { type Section, sectionOf } from './values';

/**
 * Begins the id of every input.
 */
export const ID_PREFIX = 'jp-PySparkKernels';

/**
 * What the form hands to its templates and widgets. rjsf draws a field anew when a value in here
 * changes, so these are plain data; functions are taken to be the same always.
 */
export interface IFormContext {
  trans: TranslationBundle;
  environments: readonly Environment[];
  /** Where environments were looked for in vain. */
  unanswered: readonly string[];
  /** The task that makes an environment ready. */
  readying: ITaskView | null;
  /** What the executors of the kernel that is edited unpack. */
  archive: KernelArchive | null;
  places: readonly Place[];
  /** What an administrator offers, and what is chosen of it. */
  offers: Offers;
  template: string;
  advice: readonly Remark[];
  /** The settings that the chosen Spark knows. */
  catalogue: ICatalogueView;
  readSettings: () => void;
  /** What the kernel's cluster has free. */
  figures: IFiguresView;
  /** Whether something in these parts is to be seen, which are folded away. */
  showsIdentity: boolean;
  showsAdvanced: boolean;
  makeReady: (environment: string) => void;
  cancelReadying: () => void;
  resumeReadying: () => void;
}

/**
 * Why no kernel can be started from the environment that was chosen; null when nothing is known.
 */
export function environmentProblem(
  value: unknown,
  { environments }: IFormContext
): string | null {
  return environments.find(({ path }) => path === value)?.problem ?? null;
}

/**
 * Name the texts that belong to an input, for those who hear them.
 */
export function describedBy(props: WidgetProps): string {
  const { id, name, rawErrors, formContext, options } = props;
  const { advice } = formContext as unknown as IFormContext;
  return [
    rawErrors?.length ? `${id}__error` : '',
    advice.some(({ field }) => field === name) ? `${id}__advice` : '',
    name === 'environment' ? `${id}__problem` : '',
    (options.settled as unknown[] | undefined)?.length ? `${id}__settled` : '',
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
  if (props.hidden) {
    return <></>;
  }
  const context = props.formContext as unknown as IFormContext;
  const { advice, trans } = context;
  const field = id.slice(ID_PREFIX.length + 1);
  const hints = advice.filter(remark => remark.field === field);
  const options = uiSchema?.['ui:options'] ?? {};
  const isCheckbox = options.widget === 'checkbox';
  // What is wrong with an environment stands below it from the moment it is chosen.
  const problem =
    field === 'environment'
      ? environmentProblem(props.formData, context)
      : null;
  const errors = (rawErrors ?? []).filter(
    error => problem === null || !error.startsWith(problem)
  );
  const labelNode = (
    <label htmlFor={id}>
      {label}
      {required && (
        <span className="jp-PySparkKernels-required">
          {' '}
          {trans.__('(required)')}
        </span>
      )}
    </label>
  );
  return (
    <div
      className={`jp-PySparkKernels-field${options.short === true ? ' jp-mod-short' : ''}`}
      data-field={field}
    >
      {isCheckbox ? (
        <div className="jp-PySparkKernels-check">
          {children}
          {labelNode}
        </div>
      ) : (
        <>
          {labelNode}
          {children}
        </>
      )}
      {field === 'carry' && <Packed {...props} />}
      {errors.length > 0 && (
        <div
          id={`${id}__error`}
          className="jp-PySparkKernels-error"
          role="alert"
        >
          <Paragraphs texts={errors} />
        </div>
      )}
      <Settled {...props} />
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
 * What the chosen template says of a field, and why.
 */
function Settled(props: FieldTemplateProps): JSX.Element | null {
  const { id, uiSchema } = props;
  const { trans } = props.formContext as unknown as IFormContext;
  const settled = uiSchema?.['ui:options']?.settled as
    readonly OfferedRule[] | undefined;
  const field = id.slice(ID_PREFIX.length + 1);
  const texts = (settled ?? []).map(rule =>
    [
      rule.setting === field
        ? ruleText(rule, trans)
        : trans.__('%1: %2', rule.setting, ruleText(rule, trans)),
      rule.reason
    ]
      .filter(Boolean)
      .join(' ')
  );
  if (texts.length === 0) {
    return null;
  }
  return (
    <div id={`${id}__settled`} className="jp-PySparkKernels-settled">
      <Paragraphs texts={texts} />
    </div>
  );
}

function ruleText(rule: OfferedRule, trans: TranslationBundle): string {
  const { locked, value, min, max, one_of } = rule;
  if (locked) {
    return value === null
      ? trans.__('The template leaves it unset.')
      : trans.__('The template sets %1.', value);
  }
  if (one_of) {
    return trans.__('One of: %1.', one_of.join(', '));
  }
  if (min !== null && max !== null) {
    return trans.__('From %1 to %2.', min, max);
  }
  if (min !== null) {
    return trans.__('At least %1.', min);
  }
  return max === null
    ? trans.__('The template suggests %1.', value ?? '')
    : trans.__('At most %1.', max);
}

/**
 * What the executors of a kernel unpack now, and what saving makes of it.
 */
function Packed({
  formData,
  formContext
}: FieldTemplateProps): JSX.Element | null {
  const { archive, trans } = formContext as unknown as IFormContext;
  if (archive === null || String(formData) !== 'true') {
    return null;
  }
  const { bytes, drift } = archive;
  return (
    <div className="jp-PySparkKernels-packed">
      {bytes !== null && <p>{trans.__('Packed: %1.', bytesText(bytes))}</p>}
      {drift !== null && (
        <p>
          {drift} {trans.__('Saving packs it anew.')}
        </p>
      )}
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
  const { figures, showsIdentity, showsAdvanced, trans } =
    props.formContext as unknown as IFormContext;
  const section = (name: string): Section | null => sectionOf(uiSchema?.[name]);
  const isAdvanced = (name: string): boolean => section(name) !== null;
  const first = properties.filter(({ name }) => !isAdvanced(name));
  // The figures stand below the last field that they depend on.
  const asked = first.map(({ name }) => isAskedAbout(uiSchema?.[name]));
  const end = asked.lastIndexOf(true) + 1;
  return (
    <>
      <div className="jp-PySparkKernels-fields">
        {first.slice(0, end).map(({ content }) => content)}
        <ClusterFigures
          figures={figures}
          isAdvanced={isAdvanced}
          trans={trans}
        />
        {first.slice(end).map(({ content }) => content)}
      </div>
      <Folded
        title={trans.__('Identity and cost')}
        fields={properties.filter(({ name }) => section(name) === 'identity')}
        isShown={showsIdentity}
      />
      <Folded
        title={trans.__('Advanced')}
        fields={properties.filter(({ name }) => section(name) === 'advanced')}
        isShown={showsAdvanced}
      />
    </>
  );
}

/**
 * Fields that are folded away until somebody asks for them, or there is something to see.
 */
function Folded(props: {
  title: string;
  fields: ObjectFieldTemplateProps['properties'];
  isShown: boolean;
}): JSX.Element | null {
  const { title, fields, isShown } = props;
  const details = React.useRef<HTMLDetailsElement>(null);
  React.useEffect(() => {
    if (isShown && details.current) {
      details.current.open = true;
    }
  }, [isShown]);
  if (fields.length === 0) {
    return null;
  }
  return (
    <details ref={details} className="jp-PySparkKernels-section">
      <summary>{title}</summary>
      <div className="jp-PySparkKernels-fields">
        {fields.map(({ content }) => content)}
      </div>
    </details>
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
