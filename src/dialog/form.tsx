import { FormComponent, VDomRenderer } from '@jupyterlab/ui-components';
import type { ReadonlyJSONObject } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import type { ErrorSchema, RJSFSchema, UiSchema } from '@rjsf/utils';
// This module is loaded with the dialog, not before.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { customizeValidator } from '@rjsf/validator-ajv8';
import * as React from 'react';
import { flushSync } from 'react-dom';
import type { Diagnosis, Preview } from '../api';
import { TrialPanel } from '../flight/panel';
import type { IRemedyButton } from '../remedies';
import { TaskProgress } from '../tasks/progress';
import { ChoicesWidget, OneOfWidget, TemplateWidget } from './choices';
import { EffectiveSection } from './effective';
import { EnvironmentWidget } from './environment';
import type { FormModel } from './model';
import { offerOf, rulesOf } from './policy';
import {
  FieldTemplate,
  ID_PREFIX,
  type IFormContext,
  ObjectFieldTemplate,
  Paragraphs
} from './templates';
import { SettingsWidget } from './settings';
import { schemaText, type Section, sectionOf, type Values } from './values';
import {
  CheckboxWidget,
  LinesWidget,
  PlaceWidget,
  TextWidget
} from './widgets';

type FormErrors = ErrorSchema<ReadonlyJSONObject>;

const TEMPLATES = { FieldTemplate, ObjectFieldTemplate };

const WIDGETS = {
  TextWidget,
  checkbox: CheckboxWidget,
  choices: ChoicesWidget,
  environment: EnvironmentWidget,
  lines: LinesWidget,
  oneOf: OneOfWidget,
  place: PlaceWidget,
  settings: SettingsWidget,
  template: TemplateWidget
};

/**
 * The field that each remedy is a change of.
 */
const REMEDIED: Record<string, string> = {
  'install-ipykernel': 'environment',
  'choose-environment': 'environment',
  'choose-spark-home': 'spark_home',
  'choose-java': 'env',
  carry: 'carry',
  'edit-settings': 'conf',
  'edit-master': 'master',
  'edit-memory': 'driver_memory',
  'lower-executor': 'executor_memory',
  'limit-cores': 'cores_max',
  'set-driver-host': 'conf',
  'edit-keytab': 'keytab',
  'edit-proxy-user': 'proxy_user'
};

/**
 * rjsf asks for one; it is the server that says what is right.
 */
const VALIDATOR = customizeValidator<ReadonlyJSONObject>();

/**
 * The body of the dialog.
 */
export class KernelForm extends VDomRenderer<FormModel> {
  constructor(model: FormModel) {
    super(model);
    this.addClass('jp-PySparkKernels-Form');
    this._schema = textSchema(model);
  }

  /**
   * The button that begins a test. It is outside of the form.
   */
  testButton: HTMLElement | null = null;

  /**
   * Put the cursor into the first field that is wrong.
   *
   * @returns whether there is one.
   */
  focusFirstError(): boolean {
    // Now and not when the browser has time: what is wrong has to be drawn to be found.
    flushSync(() => this.onUpdateRequest(Widget.Msg.UpdateRequest));
    const wrong = this.node.querySelector<HTMLElement>(
      '[aria-invalid="true"]:enabled'
    );
    goTo(wrong);
    return wrong !== null;
  }

  protected onAfterAttach(message: Message): void {
    // The dialog looks for an input to put the cursor into, so there has to be one by then.
    flushSync(() => super.onAfterAttach(message));
  }

  protected render(): JSX.Element {
    const { model } = this;
    const { trans, environments, unanswered, places, advice, writing } = model;
    const shows = (section: Section): boolean =>
      model.opens(section) ||
      model.errors.some(
        ({ field }) => sectionOf(model.uiSchema[field]) === section
      );
    const context: IFormContext = {
      trans,
      environments,
      unanswered,
      readying: model.readying,
      archive: model.kernel?.archive ?? null,
      places,
      offers: model.offers,
      template: model.values.template ?? '',
      advice,
      catalogue: model.catalogue,
      readSettings: model.readSettings,
      figures: model.figures,
      showsIdentity: shows('identity'),
      showsAdvanced: shows('advanced'),
      makeReady: model.makeReady,
      cancelReadying: model.cancelReadying,
      resumeReadying: model.resumeReadying
    };
    const general = model.errors.filter(({ field }) => field === '');
    return (
      <>
        <div
          className="jp-PySparkKernels-scroll"
          {...(writing && { inert: '' })}
        >
          <FormComponent
            schema={this._schema}
            uiSchema={layout(model)}
            formData={model.values}
            formContext={context}
            extraErrors={formErrors(model)}
            templates={TEMPLATES}
            widgets={WIDGETS}
            validator={VALIDATOR}
            idPrefix={ID_PREFIX}
            tagName="div"
            noValidate
            noHtml5Validate
            showErrorList={false}
            onChange={this._onChange}
            onBlur={this._onBlur}
          />
          <EffectiveSection
            load={model.loadEffective}
            revision={model.preview}
            trans={trans}
          />
          <KernelPreview preview={model.preview} trans={trans} />
        </div>
        <div
          className="jp-PySparkKernels-error jp-PySparkKernels-general"
          role="alert"
        >
          <Paragraphs texts={general.map(({ message }) => message)} />
        </div>
        {!writing && (
          <TrialPanel
            task={model.testing}
            tested={model.tested}
            isOfOthers={model.isTestOfOthers}
            trans={trans}
            onCancel={model.cancelTest}
            onHide={model.hideTest}
            onRemedy={this._remedy}
            home={this.testButton}
          />
        )}
        {writing && (
          <div className="jp-PySparkKernels-writing">
            <TaskProgress
              {...writing}
              trans={trans}
              onCancel={model.cancelWriting}
            />
            <p className="jp-PySparkKernels-description">
              {trans.__(
                'You can close this: the work goes on, and a notification shows how far it is.'
              )}
            </p>
          </div>
        )}
      </>
    );
  }

  private readonly _onChange = (
    { formData }: { formData?: ReadonlyJSONObject },
    id?: string
  ): void => {
    const field = id?.slice(ID_PREFIX.length + 1) ?? '';
    this.model.change((formData ?? {}) as Values, field);
  };

  private readonly _onBlur = (): void => this.model.leave();

  /**
   * Nothing is written yet, so a remedy is a change of a field.
   */
  private readonly _remedy = ({ remedy }: Diagnosis): IRemedyButton | null => {
    const { schema, trans } = this.model;
    const field = REMEDIED[remedy ?? ''];
    if (!(field in schema.properties)) {
      return null;
    }
    const title = schemaText(schema.properties[field].title ?? field, trans);
    return {
      label: trans.__('Go to “%1”', title),
      run: async () => goTo(this.node.querySelector(`#${ID_PREFIX}_${field}`))
    };
  };

  private readonly _schema: RJSFSchema;
}

/**
 * Put the cursor into an input, be it folded away.
 */
function goTo(input: HTMLElement | null): void {
  const folded = input?.closest('details');
  if (folded) {
    folded.open = true;
  }
  input?.focus();
}

/**
 * Make the schema of what stands in the inputs: text in each of them.
 */
function textSchema({ schema, trans }: FormModel): RJSFSchema {
  const fields = Object.entries(schema.properties).map(
    ([field, { title, description }]) => [
      field,
      {
        type: 'string',
        title: schemaText(title ?? field, trans),
        description: schemaText(description ?? '', trans)
      }
    ]
  );
  return {
    type: 'object',
    required: [...(schema.required ?? [])],
    properties: Object.fromEntries(fields)
  };
}

/**
 * Complete the server's layout by how each field is shown here.
 */
function layout(model: FormModel): UiSchema<ReadonlyJSONObject> {
  const { uiSchema, schema, kernel, preview, offers, values } = model;
  const offer = offerOf(offers.templates, values);
  const rules = [...rulesOf(offer, values).values()];
  const offersChoices = Boolean(offer?.sizes.length || offer?.options.length);
  const isHidden = (field: string): boolean =>
    field === 'per_user' ||
    (field === 'choices' && !offersChoices) ||
    (field === 'template' && !offers.templates.length && !values.template);
  const fields = Object.entries(schema.properties).map(([field, { type }]) => {
    const given = (uiSchema[field] ?? {}) as UiSchema;
    const options: Record<string, unknown> = {
      ...given['ui:options'],
      numeric: type === 'integer',
      short: type === 'integer' || field.endsWith('_memory')
    };
    if (type === 'object') {
      options.widget = field === 'conf' ? 'settings' : 'lines';
    } else if (type === 'boolean') {
      options.widget = 'checkbox';
    } else if (field in WIDGETS) {
      options.widget = field;
    }
    if (field === 'name') {
      // The server makes the name from the label when none is given.
      options.placeholder = preview?.name ?? '';
    }
    if (kernel && (field === 'name' || field === 'place')) {
      options.readonly = true;
    }
    const ruling = rules.filter(rule => rule.field === field);
    options.settled = ruling.filter(({ hidden }) => !hidden);
    const [rule] = ruling;
    if (isHidden(field) || (type !== 'object' && rule?.hidden)) {
      options.widget = 'hidden';
    } else if (type !== 'object' && rule?.locked) {
      options.readonly = true;
      if (options.widget === 'environment') {
        delete options.widget;
      }
    } else if (type !== 'object' && rule?.one_of) {
      options.widget = 'oneOf';
      options.oneOf = rule.one_of;
    }
    return [field, { ...given, 'ui:options': options }];
  });
  return { ...uiSchema, ...Object.fromEntries(fields) };
}

function formErrors({ errors }: FormModel): FormErrors {
  const found: Record<string, { __errors: string[] }> = {};
  for (const { field, message } of errors) {
    if (field !== '') {
      (found[field] ??= { __errors: [] }).__errors.push(message);
    }
  }
  return found as FormErrors;
}

/**
 * The kernel.json that would be written.
 */
function KernelPreview(props: {
  preview: Preview | null;
  trans: FormModel['trans'];
}): JSX.Element {
  const { preview, trans } = props;
  const title = trans.__('Preview of kernel.json');
  return (
    <details className="jp-PySparkKernels-section jp-PySparkKernels-preview">
      <summary>{title}</summary>
      <p>
        {preview
          ? trans.__('Directory: %1', preview.directory)
          : trans.__(
              'It appears as soon as the fields above say what to write.'
            )}
      </p>
      <pre tabIndex={0} role="region" aria-label={title}>
        {preview && JSON.stringify(preview.kernel_json, null, 2)}
      </pre>
    </details>
  );
}
