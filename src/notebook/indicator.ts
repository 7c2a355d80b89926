import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import '../../style/indicator.css';
import { indicationOf, type SparkModel } from './spark';

/**
 * Shows in a notebook's toolbar how Spark is, when there is something to say.
 */
export class SparkIndicator extends Widget {
  constructor(
    private readonly _model: SparkModel,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-PySparkKernels-indicator');
    this._label = document.createElement('span');
    // Read aloud when it changes; the element itself has to be there before.
    this._label.setAttribute('role', 'status');
    this.node.append(this._label);
    _model.changed.connect(this._show, this);
    this._show();
  }

  private _show(): void {
    const said = indicationOf(this._model, this._trans);
    this._label.textContent = said?.label ?? '';
    this._label.title = said?.caption ?? '';
    if (said) {
      this._label.setAttribute('aria-label', said.caption);
      this.node.dataset.kind = said.kind;
    } else {
      this._label.removeAttribute('aria-label');
    }
    this.setHidden(!said);
  }

  private readonly _label: HTMLElement;
}
