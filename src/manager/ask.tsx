import { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';
import { flushSync } from 'react-dom';
import { ApiError, type Remark } from '../api';
import { explain } from '../explain';
import '../../style/base.css';

const ACCEPT = 1;

export type Answers = Record<string, string>;

/**
 * One thing that a dialog asks for.
 */
export interface IQuestion {
  /** What the server calls it, so that its remarks are put there. */
  field: string;
  label: string;
  description?: string;
  value: string;
  /** What can be chosen; anything can be typed without it. */
  choices?: readonly { value: string; label: string; disabled?: boolean }[];
  /** Whether it is a text of several lines, which a file may hold as well. */
  isLong?: boolean;
}

export interface IAskOptions {
  trans: TranslationBundle;
  title: string;
  accept: string;
  questions: readonly IQuestion[];
  /**
   * Do what was asked. What it throws is shown, and the dialog stays open.
   *
   * @returns what there is to be read before the dialog closes.
   */
  submit: (answers: Answers) => Promise<readonly Remark[]>;
}

/**
 * Ask for a few things, until the server has taken them.
 *
 * @returns whether it has.
 */
export async function ask(options: IAskOptions): Promise<boolean> {
  const dialog = new AskDialog(new AskModel(options));
  const { button } = await dialog.launch();
  return button.accept;
}

class AskModel extends VDomModel {
  constructor(readonly options: IAskOptions) {
    super();
    this.answers = Object.fromEntries(
      options.questions.map(({ field, value }) => [field, value])
    );
  }

  answers: Answers;

  get errors(): readonly Remark[] {
    return this._errors;
  }

  get remarks(): readonly Remark[] {
    return this._remarks;
  }

  get isBusy(): boolean {
    return this._isBusy;
  }

  change(field: string, value: string): void {
    this.answers = { ...this.answers, [field]: value };
    this._errors = this._errors.filter(error => error.field !== field);
    this._remarks = [];
    this._isRead = false;
    this.stateChanged.emit();
  }

  /**
   * @returns whether the dialog can close.
   */
  async submit(): Promise<boolean> {
    if (this._isBusy || this._isRead) {
      return this._isRead;
    }
    this._isBusy = true;
    this._errors = [];
    this.stateChanged.emit();
    try {
      this._remarks = await this.options.submit(this.answers);
      this._isRead = true;
      return this._remarks.length === 0;
    } catch (error) {
      this._errors = this._explain(error);
      return false;
    } finally {
      this._isBusy = false;
      this.stateChanged.emit();
    }
  }

  private _explain(error: unknown): Remark[] {
    const [first, ...others] = this.options.questions;
    if (error instanceof ApiError && error.errors.length > 0) {
      return error.errors.map(({ field, message }) => ({
        // Of a single thing it need not be said what it is about.
        field:
          field in this.answers ? field : others.length > 0 ? '' : first.field,
        message
      }));
    }
    return [{ field: '', message: explain(error, this.options.trans) }];
  }

  private _errors: readonly Remark[] = [];
  private _remarks: readonly Remark[] = [];
  private _isBusy = false;
  /** Whether it is done, and what there was to be read has been read by pressing the button. */
  private _isRead = false;
}

class AskDialog extends Dialog<void> {
  constructor(model: AskModel) {
    const { title, accept, trans } = model.options;
    super({
      title,
      body: new AskForm(model),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: accept })
      ],
      defaultButton: ACCEPT,
      focusNodeSelector: 'input, textarea, select'
    });
    this._model = model;
    this.addClass('jp-PySparkKernels-Dialog');
    this.addClass('jp-mod-ask');
    this.node.setAttribute('aria-label', title);
  }

  dispose(): void {
    this._model.dispose();
    super.dispose();
  }

  resolve(index: number = ACCEPT): void {
    if (index === ACCEPT) {
      void this._submit();
    } else {
      super.resolve(index);
    }
  }

  /**
   * A click beside the dialog would throw away what was typed, so it does nothing.
   */
  protected _evtClick(event: MouseEvent): void {
    if (event.target !== this.node) {
      super._evtClick(event);
    }
  }

  private async _submit(): Promise<void> {
    const canClose = await this._model.submit();
    if (this.isDisposed) {
      return;
    }
    if (canClose) {
      super.resolve(ACCEPT);
    } else {
      this.node.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
    }
  }

  private readonly _model: AskModel;
}

class AskForm extends VDomRenderer<AskModel> {
  constructor(model: AskModel) {
    super(model);
    this.addClass('jp-PySparkKernels-Form');
  }

  protected onAfterAttach(message: Message): void {
    // The dialog looks for an input to put the cursor into, so there has to be one by then.
    flushSync(() => super.onAfterAttach(message));
  }

  protected render(): JSX.Element {
    const { options, errors, remarks, isBusy } = this.model;
    const { questions, trans } = options;
    const general = errors.filter(({ field }) => field === '');
    return (
      <div className="jp-PySparkKernels-scroll" aria-busy={isBusy}>
        {questions.map(question => (
          <Question key={question.field} {...question} model={this.model} />
        ))}
        <div className="jp-PySparkKernels-error" role="alert">
          {general.map(({ message }) => (
            <p key={message}>{message}</p>
          ))}
        </div>
        <div className="jp-PySparkKernels-advice" role="status">
          {remarks.map(({ field, message }) => (
            <p key={field + message}>{message}</p>
          ))}
          {remarks.length > 0 && (
            <p>{trans.__('Press the button again to go on.')}</p>
          )}
        </div>
      </div>
    );
  }
}

function Question(props: IQuestion & { model: AskModel }): JSX.Element {
  const { field, label, description, isLong, model } = props;
  const { trans } = model.options;
  const id = React.useId();
  const errors = model.errors.filter(error => error.field === field);
  const control = {
    id,
    className: 'jp-PySparkKernels-input',
    value: model.answers[field],
    'aria-invalid': errors.length > 0,
    'aria-describedby': `${id}-errors ${id}-description`,
    onChange: (event: React.ChangeEvent<{ value: string }>) =>
      model.change(field, event.target.value)
  };
  return (
    <div className="jp-PySparkKernels-field" data-field={field}>
      <label htmlFor={id}>{label}</label>
      {props.choices ? (
        <select {...control}>
          {props.choices.map(choice => (
            <option
              key={choice.value}
              value={choice.value}
              disabled={choice.disabled}
            >
              {choice.label}
            </option>
          ))}
        </select>
      ) : isLong ? (
        <textarea {...control} rows={9} spellCheck={false} />
      ) : (
        <input {...control} type="text" autoComplete="off" spellCheck={false} />
      )}
      {isLong && (
        <input
          type="file"
          aria-label={trans.__('Read it from a file')}
          onChange={event => {
            const [file] = event.target.files ?? [];
            void file?.text().then(text => model.change(field, text));
          }}
        />
      )}
      <div id={`${id}-errors`} className="jp-PySparkKernels-error" role="alert">
        {errors.map(({ message }) => (
          <p key={message}>{message}</p>
        ))}
      </div>
      <div id={`${id}-description`} className="jp-PySparkKernels-description">
        {description}
      </div>
    </div>
  );
}
