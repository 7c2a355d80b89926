/**
 * The dialog in which a kernel is described. It is loaded when it is first opened.
 */

import { Dialog } from '@jupyterlab/apputils';
import type { Kernel } from '../api';
import { KernelForm } from './form';
import { FormModel, type IFormOptions } from './model';
// Nothing else of ours needs styles, so they come with the dialog and not with JupyterLab's start.
import '../../style/base.css';

/**
 * The indices of the buttons that close the dialog, that test the kernel, and that write it.
 */
const CANCEL = 0;
const TEST = 1;
const ACCEPT = 2;

/**
 * What has this attribute takes Escape and Enter for itself.
 */
const OWN_KEYS = '[data-own-keys]';

export type IKernelDialogOptions = Omit<IFormOptions, 'form' | 'environments'>;

/**
 * Let a person create a kernel, or edit one.
 *
 * @returns the kernel as it was written, or null when none was.
 */
export async function showKernelDialog(
  options: IKernelDialogOptions
): Promise<Kernel | null> {
  const [form, environments] = await Promise.all([
    options.api.form(),
    options.api.environments()
  ]);
  const dialog = new KernelDialog(
    new FormModel({ ...options, form, environments })
  );
  await dialog.launch();
  // Whoever closes the dialog while the kernel is being written has a kernel all the same.
  return dialog.submission;
}

/**
 * A dialog that closes by its button only after the server has taken what was typed.
 */
class KernelDialog extends Dialog<void> {
  constructor(model: FormModel) {
    const { trans, kernel } = model;
    const title = kernel
      ? trans.__('Edit PySpark Kernel')
      : trans.__('Create PySpark Kernel');
    const labels = kernel
      ? { idle: trans.__('Save'), busy: trans.__('Saving…') }
      : { idle: trans.__('Create'), busy: trans.__('Creating…') };
    const form = new KernelForm(model);
    super({
      title,
      body: form,
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.createButton({
          label: trans.__('Test'),
          caption: trans.__(
            'Start this kernel for a trial, without writing it, and let every executor do something'
          ),
          // It does not look like the button that ends the dialog.
          accept: false
        }),
        Dialog.okButton({ label: labels.idle })
      ],
      defaultButton: ACCEPT,
      focusNodeSelector: 'input, select'
    });
    this._form = form;
    this._model = model;
    this._labels = labels;
    form.testButton = this._buttonAt(TEST);
    this.addClass('jp-PySparkKernels-Dialog');
    this.node.setAttribute('aria-label', title);
    model.stateChanged.connect(this._showBusy, this);
  }

  /**
   * The last attempt to write the kernel; null when there was none, or it failed.
   */
  get submission(): Promise<Kernel | null> {
    return this._model.submission;
  }

  dispose(): void {
    this._model.dispose();
    super.dispose();
  }

  /**
   * Every way to accept comes through here: the button, and Enter in any input.
   */
  resolve(index: number = ACCEPT): void {
    if (index === ACCEPT) {
      void this._submit();
    } else if (index === TEST) {
      void this._test();
    } else {
      super.resolve(index);
    }
  }

  /**
   * Nothing typed disables the button: pressing it says what is wrong.
   */
  protected _checkValidation(): void {
    this._showBusy();
  }

  /**
   * The keys that close a list, or choose from it, do not also close the dialog or submit the form.
   */
  protected _evtKeydown(event: KeyboardEvent): void {
    const { key, target } = event;
    const isOwn = target instanceof Element && target.closest(OWN_KEYS);
    if (!(isOwn && (key === 'Escape' || key === 'Enter'))) {
      super._evtKeydown(event);
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
    const model = this._model;
    if (model.isBusy) {
      return;
    }
    if (await model.submit()) {
      super.resolve(ACCEPT);
    } else if (!this.isDisposed && !this._form.focusFirstError()) {
      this._button?.focus();
    }
  }

  private async _test(): Promise<void> {
    const model = this._model;
    if (!model.isBusy && !(await model.test()) && !this.isDisposed) {
      this._form.focusFirstError();
    }
  }

  private _showBusy(): void {
    const { isBusy, isTesting, writing, trans } = this._model;
    const button = this._button;
    // A disabled button would lose the focus, and with it the keys of the dialog.
    this._buttonAt(TEST)?.setAttribute(
      'aria-disabled',
      String(isBusy || isTesting)
    );
    if (button && button.disabled !== isBusy) {
      button.disabled = isBusy;
      setLabel(button, isBusy ? this._labels.busy : this._labels.idle);
    }
    const close = this._buttonAt(CANCEL);
    const isWriting = writing !== null;
    if (close && isWriting !== this._isWriting) {
      this._isWriting = isWriting;
      // The work goes on when the dialog is closed, and has a button of its own to be cancelled.
      setLabel(close, isWriting ? trans.__('Close') : trans.__('Cancel'));
    }
  }

  private get _button(): HTMLButtonElement | null {
    return this._buttonAt(ACCEPT);
  }

  private _buttonAt(index: number): HTMLButtonElement | null {
    const buttons =
      this.node.querySelectorAll<HTMLButtonElement>('.jp-Dialog-button');
    return buttons[index] ?? null;
  }

  private readonly _form: KernelForm;
  private readonly _model: FormModel;
  private readonly _labels: { idle: string; busy: string };
  private _isWriting = false;
}

function setLabel(button: Element, text: string): void {
  const label = button.querySelector('.jp-Dialog-buttonLabel');
  if (label) {
    label.textContent = text;
    // JupyterLab names it a second time, for those who hear it.
    label.setAttribute('aria-label', text);
  }
}
