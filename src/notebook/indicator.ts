/**
 * How Spark is, in a notebook's toolbar and in the status bar: a button that opens the rest.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import '../../style/indicator.css';
import { type IIndication, indicationOf } from './indication';
import type { ISparkStatus, SparkModel } from './spark';
import { SparkView } from './view';

/**
 * Opens the details of how Spark is.
 *
 * @param opener - the button; it gets the focus back.
 */
export type ShowDetails = (opener: HTMLElement) => void;

/**
 * Shows how Spark is, where a kernel tells it.
 *
 * It begins with something to show: a toolbar lets the arrow keys go to what it shows when it gets
 * it, and to nothing that appears later.
 */
export class SparkButton extends SparkView {
  constructor(
    protected readonly trans: TranslationBundle,
    showDetails: ShowDetails
  ) {
    super();
    this.addClass('jp-PySparkKernels-indicator');
    this._button = document.createElement('button');
    this._button.type = 'button';
    this._button.hidden = true;
    this._button.setAttribute('aria-haspopup', 'dialog');
    this._button.setAttribute('aria-expanded', 'false');
    this._button.addEventListener('click', () => showDetails(this._button));
    const sign = document.createElement('span');
    sign.setAttribute('aria-hidden', 'true');
    this._label = document.createElement('span');
    this._button.append(sign, this._label);
    this.node.append(this._button);
  }

  /**
   * What is to be shown; null when nothing is known.
   */
  protected indication(): IIndication | null {
    return this.model && indicationOf(this.model, this.trans);
  }

  protected isNews(): boolean {
    return (
      this.model?.status !== this._status ||
      this.indication()?.kind !== this._button.dataset.kind
    );
  }

  protected render(): void {
    const said = this.indication();
    this._status = this.model?.status;
    this._button.hidden = said === null;
    if (said) {
      this._label.textContent = said.label;
      this._button.title = said.caption;
      this._button.dataset.kind = said.kind;
    }
  }

  private readonly _button: HTMLButtonElement;
  private readonly _label: HTMLElement;
  private _status: ISparkStatus | null | undefined;
}

/**
 * That of a notebook's toolbar; it also says aloud what becomes of Spark.
 */
export class SparkIndicator extends SparkButton {
  constructor(
    model: SparkModel,
    trans: TranslationBundle,
    showDetails: ShowDetails
  ) {
    super(trans, showDetails);
    this._said.className = 'jp-PySparkKernels-said';
    this._said.setAttribute('role', 'status');
    this.node.append(this._said);
    this.model = model;
    // Before it has a place.
    this.render();
  }

  protected render(): void {
    super.render();
    const stage = this.model?.status?.stage;
    if (stage !== this._stage && this.model) {
      this._stage = stage;
      // Not what runs, which comes and goes with every cell.
      const { status, isReturning, isAsked } = this.model;
      const known = { status, isReturning, isAsked, activity: null };
      const text = indicationOf(known, this.trans)?.caption;
      this._said.textContent = text ?? '';
    }
  }

  private readonly _said = document.createElement('span');
  private _stage: string | undefined;
}

/**
 * That of the status bar, for the notebook that is looked at.
 */
export class SparkStatusItem extends SparkButton {
  constructor(trans: TranslationBundle, showDetails: ShowDetails) {
    super(trans, showDetails);
    this.addClass('jp-mod-statusBar');
  }

  /** Is emitted when there may be something else to show. */
  readonly activeChanged = new Signal<this, void>(this);

  /**
   * Whether there is anything to show.
   */
  get isActive(): boolean {
    return this.indication() !== null;
  }

  protected isNews(): boolean {
    const isNews = super.isNews();
    if (isNews) {
      this.activeChanged.emit();
    }
    return isNews;
  }
}
